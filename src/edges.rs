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

use linkgate_filter::backend::{Backend, Backends};
use linkgate_filter::broker::{Broker, MemoryBroker};
#[cfg(not(feature = "kafka"))]
use linkgate_filter::problem::Path;
use linkgate_filter::problem::Problems;
use linkgate_filter::store::{MemoryStore, Store};
use linkgate_filter::{Clock, EdgeName, Edges};

use self::config::{BrokerConfig, BrokerKind, KafkaConfig, StoreConfig, StoreKind};

/// Why an edge cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} `{name}` cannot be opened: {reason}")]
pub struct OpenError {
    kind: &'static str,
    name: String,
    reason: String,
}

/// The edges of a running node, each with what it was opened from.
#[derive(Default)]
pub struct OpenEdges {
    stores: BTreeMap<String, (StoreConfig, Arc<dyn Store>)>,
    brokers: BTreeMap<String, (BrokerConfig, Arc<dyn Broker>)>,
}

impl OpenEdges {
    /// What is configured, with those that are open and have not changed. Nothing is connected yet: a system that is away
    /// does not keep the node from starting.
    ///
    /// # Errors
    /// A library refuses what the configuration says.
    pub fn next(
        &self,
        stores: &BTreeMap<String, StoreConfig>,
        brokers: &BTreeMap<String, BrokerConfig>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let store = |config: &StoreConfig| open_store(config, clock);
        let broker = |config: &BrokerConfig| open_broker(config, clock);
        Ok(Self {
            stores: next("store", &self.stores, stores, store)?,
            brokers: next("broker", &self.brokers, brokers, broker)?,
        })
    }

    /// For those who use them.
    pub fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (name, (_, store)) in &self.stores {
            edges = edges.with_store(name, Arc::clone(store));
        }
        for (name, (_, broker)) in &self.brokers {
            edges = edges.with_broker(name, Arc::clone(broker));
        }
        edges
    }
}

fn next<C: Clone + PartialEq, E: ?Sized>(
    kind: &'static str,
    open: &BTreeMap<String, (C, Arc<E>)>,
    configs: &BTreeMap<String, C>,
    begin: impl Fn(&C) -> Result<Arc<E>, String>,
) -> Result<BTreeMap<String, (C, Arc<E>)>, OpenError> {
    let next = |(name, config): (&String, &C)| {
        let edge = match open.get(name) {
            Some((known, edge)) if known == config => Arc::clone(edge),
            _ => begin(config).map_err(|reason| OpenError {
                kind,
                name: name.clone(),
                reason,
            })?,
        };
        Ok((name.clone(), (config.clone(), edge)))
    };
    configs.iter().map(next).collect()
}

/// Something outside, as whoever uses it sees it: equal ones are the same and reached in the same way.
#[derive(Clone)]
pub enum Edge {
    /// The service of a business, by how it is reached.
    Backend(Backend),
    /// A store.
    Store(Arc<dyn Store>),
    /// A broker.
    Broker(Arc<dyn Broker>),
    /// There is none of that name.
    Missing(EdgeName),
}

impl Edge {
    /// What `name` means here.
    pub fn find(name: &EdgeName, edges: &Edges, backends: &Backends) -> Self {
        let found = match name {
            EdgeName::Backend(name) => backends.get(name).cloned().map(Self::Backend),
            EdgeName::Store(name) => edges.store(name).cloned().map(Self::Store),
            EdgeName::Broker(name) => edges.broker(name).cloned().map(Self::Broker),
        };
        found.unwrap_or_else(|| Self::Missing(name.clone()))
    }
}

impl PartialEq for Edge {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Backend(one), Self::Backend(other)) => one == other,
            (Self::Store(one), Self::Store(other)) => Arc::ptr_eq(one, other),
            (Self::Broker(one), Self::Broker(other)) => Arc::ptr_eq(one, other),
            (Self::Missing(one), Self::Missing(other)) => one == other,
            _ => false,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn stores(yaml: &str) -> BTreeMap<String, StoreConfig> {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn what_has_not_changed_is_kept_with_all_that_it_holds() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let next = |open: &OpenEdges, yaml: &str| {
            let next = open.next(&stores(yaml), &BTreeMap::new(), &clock);
            next.unwrap()
        };
        let first = next(
            &OpenEdges::default(),
            "{ a: { memory: {} }, b: { memory: {} } }",
        );
        let then = next(
            &first,
            "{ a: { memory: {} }, b: { memory: { max_keys: 7 } }, c: { memory: {} } }",
        );
        let edge = |open: &OpenEdges, name: &str| {
            Edge::find(
                &EdgeName::Store(name.to_owned()),
                &open.edges(),
                &Backends::new(),
            )
        };
        assert!(edge(&first, "a") == edge(&then, "a"));
        assert!(edge(&first, "b") != edge(&then, "b"));
        assert!(edge(&first, "c") != edge(&then, "c"), "it was missing");
        assert!(edge(&next(&then, "{}"), "a") == Edge::Missing(EdgeName::Store("a".to_owned())));
    }
}
