//! Where the node touches outside systems on behalf of filters and pushes: stores and brokers, opened from the
//! configuration behind the traits of the contract.
//!
//! What may not enter: what a filter or a push source does with them.

pub mod config;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "redis")]
mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;

use linkgate_filter::broker::{Broker, MemoryBroker};
#[cfg(not(feature = "kafka"))]
use linkgate_filter::problem::Path;
use linkgate_filter::problem::Problems;
use linkgate_filter::store::{MemoryStore, Store};
use linkgate_filter::{Clock, Edges};

use self::config::{BrokerConfig, BrokerKind, KafkaConfig, StoreConfig, StoreKind};

/// Why an edge cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} `{name}` cannot be opened: {reason}")]
pub struct OpenError {
    kind: &'static str,
    name: String,
    reason: String,
}

/// Opens all that is configured. Nothing is connected yet: a system that is away does not keep the node from starting.
///
/// # Errors
/// A library refuses what the configuration says.
pub fn open(
    stores: &BTreeMap<String, StoreConfig>,
    brokers: &BTreeMap<String, BrokerConfig>,
    clock: &Arc<dyn Clock>,
) -> Result<Edges, OpenError> {
    let mut edges = Edges::new();
    for (name, config) in stores {
        let failed = |reason| OpenError {
            kind: "store",
            name: name.clone(),
            reason,
        };
        edges = edges.with_store(name, open_store(config, clock).map_err(failed)?);
    }
    for (name, config) in brokers {
        let failed = |reason| OpenError {
            kind: "broker",
            name: name.clone(),
            reason,
        };
        edges = edges.with_broker(name, open_broker(config, clock).map_err(failed)?);
    }
    Ok(edges)
}

fn open_store(config: &StoreConfig, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Store>, String> {
    match config.kind()? {
        StoreKind::Memory(memory) => {
            Ok(Arc::new(MemoryStore::new(Arc::clone(clock), memory.into())))
        }
        #[cfg(feature = "redis")]
        StoreKind::Redis(redis) => Ok(Arc::new(redis::RedisStore::new(redis)?)),
        #[cfg(not(feature = "redis"))]
        StoreKind::Redis(_) => Err("this program was built without Redis".to_owned()),
    }
}

fn open_broker(config: &BrokerConfig, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Broker>, String> {
    match config.kind()? {
        BrokerKind::Memory(memory) => Ok(Arc::new(MemoryBroker::new(
            Arc::clone(clock),
            memory.into(),
        ))),
        BrokerKind::Kafka(kafka) => open_kafka(kafka),
    }
}

#[cfg(feature = "kafka")]
fn open_kafka(config: &KafkaConfig) -> Result<Arc<dyn Broker>, String> {
    Ok(Arc::new(kafka::KafkaBroker::open(config)?))
}

#[cfg(not(feature = "kafka"))]
fn open_kafka(_: &KafkaConfig) -> Result<Arc<dyn Broker>, String> {
    Err(NO_KAFKA.to_owned())
}

#[cfg(not(feature = "kafka"))]
const NO_KAFKA: &str = "this build of linkgate has no Kafka";

/// Notes what this build's Kafka client has to say of a configuration.
#[cfg(feature = "kafka")]
fn check_kafka(config: &KafkaConfig, problems: &mut Problems) {
    kafka::check(config, problems);
}

#[cfg(not(feature = "kafka"))]
fn check_kafka(_: &KafkaConfig, problems: &mut Problems) {
    problems
        .at(Path::root(), NO_KAFKA)
        .hint("build it with the cargo feature `kafka`");
}
