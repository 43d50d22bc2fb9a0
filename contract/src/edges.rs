//! Edges: where linkgate touches an outside system, by the names that the configuration gives them. What they can do is
//! said by small traits ([`Store`], [`Broker`]); the core brings them, each with an in-memory twin.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::backend::Backends;
use crate::broker::Broker;
use crate::store::Store;

/// What a configuration declares outside its pipelines, for filters to name.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// The services of businesses.
    pub backends: Backends,
    /// The names of stores.
    pub stores: BTreeSet<String>,
    /// The names of brokers.
    pub brokers: BTreeSet<String>,
}

impl Declared {
    /// These backends, and nothing else.
    pub fn backends(backends: Backends) -> Self {
        Self {
            backends,
            ..Self::default()
        }
    }
}

/// Something that a configuration declares outside its pipelines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeName {
    /// The service of a business.
    Backend(String),
    /// A store.
    Store(String),
    /// A broker.
    Broker(String),
}

/// The edges of a running node.
#[derive(Clone, Default)]
pub struct Edges {
    stores: BTreeMap<String, Arc<dyn Store>>,
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    others: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Edges {
    /// No edges.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a store; one of the same name is replaced.
    #[must_use]
    pub fn with_store(mut self, name: impl Into<String>, store: Arc<dyn Store>) -> Self {
        self.stores.insert(name.into(), store);
        self
    }

    /// Adds a broker; one of the same name is replaced.
    #[must_use]
    pub fn with_broker(mut self, name: impl Into<String>, broker: Arc<dyn Broker>) -> Self {
        self.brokers.insert(name.into(), broker);
        self
    }

    /// Adds an edge that this contract has no trait for; one of the same type is replaced.
    #[must_use]
    pub fn with_other<T: Send + Sync + 'static>(mut self, edge: Arc<T>) -> Self {
        self.others.insert(TypeId::of::<T>(), edge);
        self
    }

    /// The edge of this type that the node has brought.
    pub fn other<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let edge = Arc::clone(self.others.get(&TypeId::of::<T>())?);
        edge.downcast().ok()
    }

    /// The store of this name.
    pub fn store(&self, name: &str) -> Option<&Arc<dyn Store>> {
        self.stores.get(name)
    }

    /// The broker of this name.
    pub fn broker(&self, name: &str) -> Option<&Arc<dyn Broker>> {
        self.brokers.get(name)
    }

    /// The names, as a configuration with these edges declares them.
    pub fn declared(&self) -> Declared {
        Declared {
            backends: Backends::new(),
            stores: self.stores.keys().cloned().collect(),
            brokers: self.brokers.keys().cloned().collect(),
        }
    }
}

impl fmt::Debug for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edges")
            .field("stores", &self.stores.keys())
            .field("brokers", &self.brokers.keys())
            .finish()
    }
}
