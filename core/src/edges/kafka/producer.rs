//! The producer: takes records, and says of each what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use linkgate_filter::broker::{Delivery, Full, Record};
use linkgate_filter::{EdgeError, EdgeFailure};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::sync::oneshot;

use super::queue::{Place, Queue};
use super::{client, failure, status};
use crate::edges::config::KafkaConfig;
use crate::edges::words::Words;

/// How long the reporting thread sleeps at most before it looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(100);

/// A producer, replaced when it has failed for good.
pub(super) struct Producer {
    config: KafkaConfig,
    words: Arc<Words>,
    queue: Arc<Queue>,
    client: Mutex<Client>,
}

impl Producer {
    pub(super) fn start(config: &KafkaConfig, words: &Arc<Words>) -> Result<Self, String> {
        let queue = Queue::new(&config.queue);
        let client = Client::start(config, words).map_err(|error| error.to_string())?;
        Ok(Self {
            config: config.clone(),
            words: Arc::clone(words),
            queue,
            client: Mutex::new(client),
        })
    }

    pub(super) fn room(&self) -> BoxFuture<'static, ()> {
        self.queue.room()
    }

    pub(super) fn send(&self, record: Record) -> Result<Delivery, Full> {
        let Some(place) = self.queue.enter(&record) else {
            return Err(Full(record));
        };
        let (report, reported) = oneshot::channel();
        let sent = Box::new(Sent { place, report });
        if let Err((error, _)) = self.hand_over(&record, sent) {
            tell(&self.words, &error, &record.topic);
            return Ok(Box::pin(ready(Err(failure::error(&error)))));
        }
        Ok(Box::pin(async move {
            // The thread that reports ends after the last record has its report.
            let lost = || EdgeError::new(EdgeFailure::Unreachable, "the producer has stopped");
            reported
                .await
                .unwrap_or_else(|_| Err(lost().effect_unknown()))
        }))
    }

    /// Gives the record to librdkafka. The lock is held meanwhile: the order of calls is that of the log.
    fn hand_over(&self, record: &Record, sent: Box<Sent>) -> Result<(), (KafkaError, Box<Sent>)> {
        let mut client = self.client.lock();
        match client.send(record, sent) {
            Err((error, sent)) if is_fatal(&error) => {
                let new = match Client::start(&self.config, &self.words) {
                    Ok(new) => new,
                    Err(error) => return Err((error, sent)),
                };
                tracing::warn!("kafka: the producer failed for good, a new one takes its place");
                *client = new;
                client.send(record, sent)
            }
            done => done,
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

/// What librdkafka carries along with a record.
struct Sent {
    place: Place,
    report: oneshot::Sender<Result<(), EdgeError>>,
}

/// One producer of librdkafka and the thread that hears its reports. The thread outlives it until all records have one,
/// which is within `timeout`.
struct Client {
    producer: Arc<BaseProducer<Reports>>,
    dropped: Arc<AtomicBool>,
}

impl Client {
    fn start(config: &KafkaConfig, words: &Arc<Words>) -> Result<Self, KafkaError> {
        let reports = Reports(Arc::clone(words));
        let producer: BaseProducer<Reports> =
            client::producer(config).create_with_context(reports)?;
        let (producer, dropped) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (reporting, stop) = (Arc::clone(&producer), Arc::clone(&dropped));
        thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || {
                while !stop.load(Ordering::Acquire) || reporting.in_flight_count() > 0 {
                    reporting.poll(LOOK);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, dropped })
    }

    fn send(&self, record: &Record, sent: Box<Sent>) -> Result<(), (KafkaError, Box<Sent>)> {
        let mut out = BaseRecord::with_opaque_to(&record.topic, sent).payload(&record.payload[..]);
        if !record.key.is_empty() {
            out = out.key(&record.key[..]);
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |headers: OwnedHeaders, (key, value): &(String, bytes::Bytes)| {
                let value = Some(&value[..]);
                headers.insert(Header { key, value })
            };
            out = out.headers(record.headers.iter().fold(headers, add));
        }
        self.producer
            .send(out)
            .map_err(|(error, record)| (error, record.delivery_opaque))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}

/// Hears what became of records.
struct Reports(Arc<Words>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        failure::say(&self.0, &error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, message)) => {
                tell(&self.0, error, message.topic());
                let error = failed(error);
                Err(if status::is_not_stored(message) {
                    error
                } else {
                    error.effect_unknown()
                })
            }
        };
        let Sent { place, report } = *sent;
        drop(place);
        // Nobody may wait for it any more.
        let _ = report.send(outcome);
    }
}

fn tell(words: &Words, error: &KafkaError, topic: &str) {
    failure::say(words, error, &format!("topic `{topic}`: {error}"));
}

/// A record of a producer that failed for good, or was purged, did not fail by itself.
fn failed(error: &KafkaError) -> EdgeError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
            EdgeError::new(EdgeFailure::Unreachable, "the producer has stopped")
        }
        _ => failure::error(error),
    }
}
