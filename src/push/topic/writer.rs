//! Writes what has to be in the broker before an offset may pass, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use linkgate_filter::broker::{Broker, Full, Record};
use linkgate_filter::{Clock, EdgeError, EdgeFailure};

use crate::push::metrics::PushMetrics;
use crate::telemetry::limit::Every;

/// Writes records until they are confirmed. A broker that is away is waited for: what is not written holds its offset
/// back, and so, in the end, its partition.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: PushMetrics,
}

/// A record and where to.
pub(super) struct Letter {
    broker: Arc<dyn Broker>,
    record: Record,
    /// What is written in place of a record that the broker will not have, such as one that is too large.
    instead: Vec<Letter>,
}

impl Letter {
    pub(super) fn new(broker: &Arc<dyn Broker>, record: Record) -> Self {
        Self {
            broker: Arc::clone(broker),
            record,
            instead: Vec::new(),
        }
    }

    /// Writes these in place of a record that the broker refuses.
    pub(super) fn or(mut self, instead: Vec<Letter>) -> Self {
        self.instead = instead;
        self
    }
}

impl Writer {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);

    /// Ends once all letters are confirmed.
    pub(super) async fn write(self, letters: Vec<Letter>) {
        join_all(letters.into_iter().map(|letter| self.deliver(letter))).await;
    }

    async fn deliver(&self, mut letter: Letter) {
        let mut pause = Self::FIRST_PAUSE;
        loop {
            let Err(error) = send(&letter).await else {
                return;
            };
            self.metrics.write_failed();
            log(&letter.record.topic, &error);
            if error.failure == EdgeFailure::Refused && !letter.instead.is_empty() {
                let instead = std::mem::take(&mut letter.instead);
                return Box::pin(self.clone().write(instead)).await;
            }
            self.clock.sleep_until(self.clock.now() + pause).await;
            pause = (pause * 2).min(Self::LONGEST_PAUSE);
        }
    }
}

async fn send(letter: &Letter) -> Result<(), EdgeError> {
    let mut record = letter.record.clone();
    loop {
        match letter.broker.send(record) {
            Ok(delivery) => return delivery.await,
            Err(Full(back)) => {
                letter.broker.room().await;
                record = back;
            }
        }
    }
}

fn log(topic: &str, error: &EdgeError) {
    static FAILED: Every = Every::new(Duration::from_secs(1));
    if let Some(held_back) = FAILED.pass() {
        tracing::warn!(
            topic,
            %error,
            held_back,
            "a record of a push could not be written; it is tried again, and its offset waits"
        );
    }
}
