//! Brokers of the kind `kafka`, by librdkafka: an idempotent producer shared by all who write, and a consumer of its own
//! for each who reads. Seen by this room alone, and only in builds with the cargo feature `kafka`.
//!
//! Records of one key are in one partition, by the hash that Java's clients use (murmur2), in the order in which
//! [`Broker::send`] took them; those without a key are spread. `partitioner` under `properties` changes the hash.
//!
//! What may not enter: what is in a record.

mod client;
mod consumer;
mod failure;
mod hints;
mod producer;
mod queue;
mod status;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use linkgate_filter::EdgeError;
use linkgate_filter::broker::{Broker, Consumer, Delivery, Full, Record, Subscription};

pub(super) use self::client::check;
use self::consumer::KafkaConsumer;
use self::producer::Producer;
use super::config::KafkaConfig;
use super::words::Words;

/// A Kafka cluster.
pub(super) struct KafkaBroker {
    config: KafkaConfig,
    words: Arc<Words>,
    producer: Producer,
}

impl KafkaBroker {
    /// Starts the producer. Nothing is waited for: a cluster that is away is tried for again and again.
    ///
    /// # Errors
    /// librdkafka refuses the configuration; in its own words.
    pub(super) fn open(name: &str, config: &KafkaConfig) -> Result<Self, String> {
        let words = Words::of("Kafka", name);
        Ok(Self {
            config: config.clone(),
            producer: Producer::start(config, &words)?,
            words,
        })
    }
}

impl Broker for KafkaBroker {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        self.producer.send(record)
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        self.producer.room()
    }

    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        let consumer = KafkaConsumer::start(&self.config, subscription, &self.words)?;
        Ok(Box::new(consumer))
    }
}
