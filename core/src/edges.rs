//! Where the node touches outside systems: stores and brokers on behalf of filters and pushes, opened from the configuration
//! behind the traits of the contract; and etcd, on its own behalf.
//!
//! What may not enter: what a filter or a push source does with them, and what is kept in etcd.

pub mod config;
pub mod directory;
pub(crate) mod etcd;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "redis")]
mod redis;
mod together;
#[cfg(any(feature = "kafka", feature = "redis"))]
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use linkgate_filter::Clock;
use linkgate_filter::backend::{Backend, Backends};
use linkgate_filter::broker::{Broker, MemoryBroker};
#[cfg(not(feature = "kafka"))]
use linkgate_filter::problem::Path;
use linkgate_filter::problem::Problems;
use linkgate_filter::runner::{EdgeName, Edges};
use linkgate_filter::store::{MemoryStore, Store};
use linkgate_grpc::{Connector, Network, with_connector};

use self::config::{BrokerConfig, BrokerKind, KafkaConfig, StoreConfig, StoreKind};
use self::directory::Directory;
use self::directory::memory::MemoryDirectory;
pub use self::together::Together;

/// Why an edge cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} `{name}` cannot be opened: {reason}")]
pub struct OpenError {
    kind: &'static str,
    name: String,
    reason: String,
}

/// Opens edges, each when it is first configured. Nothing is connected yet: a system that is away does not keep the node
/// from starting.
pub trait Opener: Send + Sync {
    /// A store.
    ///
    /// # Errors
    /// A library refuses what the configuration says; in its words.
    fn store(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, String>;

    /// A broker.
    ///
    /// # Errors
    /// A library refuses what the configuration says; in its words.
    fn broker(&self, name: &str, config: &BrokerConfig) -> Result<Arc<dyn Broker>, String>;

    /// The directory of a cluster in a store; it shares nothing with the store.
    ///
    /// # Errors
    /// A library refuses what the configuration says; in its words.
    fn directory(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Directory>, String>;

    /// The way to gRPC backends.
    fn connector(&self) -> Arc<dyn Connector>;
}

/// Opens what the configuration says.
pub struct AsConfigured {
    clock: Arc<dyn Clock>,
}

impl AsConfigured {
    /// What is kept in this process ends by this clock.
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: Arc::clone(clock),
        }
    }
}

impl Opener for AsConfigured {
    #[cfg_attr(not(feature = "redis"), allow(unused_variables))]
    fn store(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, String> {
        match config.kind()? {
            StoreKind::Memory(memory) => {
                let clock = Arc::clone(&self.clock);
                Ok(Arc::new(MemoryStore::new(clock, memory.into())))
            }
            #[cfg(feature = "redis")]
            StoreKind::Redis(redis) => Ok(Arc::new(redis::RedisStore::new(name, redis)?)),
            #[cfg(not(feature = "redis"))]
            StoreKind::Redis(_) => Err(NO_REDIS.to_owned()),
        }
    }

    fn broker(&self, name: &str, config: &BrokerConfig) -> Result<Arc<dyn Broker>, String> {
        match config.kind()? {
            BrokerKind::Memory(memory) => {
                let clock = Arc::clone(&self.clock);
                Ok(Arc::new(MemoryBroker::new(clock, memory.into())))
            }
            BrokerKind::Kafka(kafka) => open_kafka(name, kafka),
        }
    }

    #[cfg_attr(not(feature = "redis"), allow(unused_variables))]
    fn directory(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Directory>, String> {
        match config.kind()? {
            StoreKind::Memory(memory) => {
                let clock = Arc::clone(&self.clock);
                let users = memory.max_keys as usize;
                Ok(Arc::new(MemoryDirectory::new(clock, users)))
            }
            #[cfg(feature = "redis")]
            StoreKind::Redis(redis) => Ok(Arc::new(redis::RedisDirectory::new(name, redis)?)),
            #[cfg(not(feature = "redis"))]
            StoreKind::Redis(_) => Err(NO_REDIS.to_owned()),
        }
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(Network)
    }
}

/// The edges of a running node, each with what it was opened from.
pub struct OpenEdges {
    opener: Arc<dyn Opener>,
    connector: Arc<dyn Connector>,
    stores: BTreeMap<String, (StoreConfig, Arc<dyn Store>)>,
    brokers: BTreeMap<String, (BrokerConfig, Arc<dyn Broker>)>,
}

impl OpenEdges {
    /// None yet.
    pub fn new(opener: Arc<dyn Opener>) -> Self {
        Self {
            connector: opener.connector(),
            opener,
            stores: BTreeMap::new(),
            brokers: BTreeMap::new(),
        }
    }

    /// What is configured, with those that are open and have not changed.
    ///
    /// # Errors
    /// A library refuses what the configuration says.
    pub fn next(
        &self,
        stores: &BTreeMap<String, StoreConfig>,
        brokers: &BTreeMap<String, BrokerConfig>,
    ) -> Result<Self, OpenError> {
        let store = |name: &str, config: &StoreConfig| self.opener.store(name, config);
        let broker = |name: &str, config: &BrokerConfig| self.opener.broker(name, config);
        Ok(Self {
            opener: Arc::clone(&self.opener),
            connector: Arc::clone(&self.connector),
            stores: next("store", &self.stores, stores, store)?,
            brokers: next("broker", &self.brokers, brokers, broker)?,
        })
    }

    /// For those who use them.
    pub fn edges(&self) -> Edges {
        let mut edges = with_connector(Edges::new(), &self.connector);
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
    begin: impl Fn(&str, &C) -> Result<Arc<E>, String>,
) -> Result<BTreeMap<String, (C, Arc<E>)>, OpenError> {
    let next = |(name, config): (&String, &C)| {
        let edge = match open.get(name) {
            Some((known, edge)) if known == config => Arc::clone(edge),
            _ => begin(name, config).map_err(|reason| OpenError {
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

#[cfg(feature = "kafka")]
fn open_kafka(name: &str, config: &KafkaConfig) -> Result<Arc<dyn Broker>, String> {
    Ok(Arc::new(kafka::KafkaBroker::open(name, config)?))
}

#[cfg(not(feature = "kafka"))]
fn open_kafka(_: &str, _: &KafkaConfig) -> Result<Arc<dyn Broker>, String> {
    Err(NO_KAFKA.to_owned())
}

#[cfg(not(feature = "redis"))]
const NO_REDIS: &str = "this program was built without Redis";

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
            let next = open.next(&stores(yaml), &BTreeMap::new());
            next.unwrap()
        };
        let first = next(
            &OpenEdges::new(Arc::new(AsConfigured::new(&clock))),
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
