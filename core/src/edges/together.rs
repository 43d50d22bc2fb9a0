//! Edges that several nodes of one process share, as processes share those outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use linkgate_filter::Clock;
use linkgate_filter::broker::Broker;
use linkgate_filter::store::Store;
use linkgate_grpc::Connector;
use parking_lot::Mutex;

use super::config::{BrokerConfig, StoreConfig};
use super::directory::Directory;
use super::{AsConfigured, Opener};

/// Opens what the configuration says, each once: what is in memory is the same for all nodes that open with this.
pub struct Together {
    opener: AsConfigured,
    stores: Opened<dyn Store>,
    brokers: Opened<dyn Broker>,
    directories: Opened<dyn Directory>,
}

/// By name.
type Opened<E> = Mutex<BTreeMap<String, Arc<E>>>;

impl Together {
    /// Nothing is open yet. What is kept in this process ends by this clock.
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            opener: AsConfigured::new(clock),
            stores: Mutex::default(),
            brokers: Mutex::default(),
            directories: Mutex::default(),
        }
    }
}

fn once<E: ?Sized>(
    opened: &Opened<E>,
    name: &str,
    open: impl FnOnce() -> Result<Arc<E>, String>,
) -> Result<Arc<E>, String> {
    let mut opened = opened.lock();
    if let Some(edge) = opened.get(name) {
        return Ok(Arc::clone(edge));
    }
    let edge = open()?;
    opened.insert(name.to_owned(), Arc::clone(&edge));
    Ok(edge)
}

impl Opener for Together {
    fn store(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, String> {
        once(&self.stores, name, || self.opener.store(name, config))
    }

    fn broker(&self, name: &str, config: &BrokerConfig) -> Result<Arc<dyn Broker>, String> {
        once(&self.brokers, name, || self.opener.broker(name, config))
    }

    fn connector(&self) -> Arc<dyn Connector> {
        self.opener.connector()
    }

    fn directory(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Directory>, String> {
        once(&self.directories, name, || {
            self.opener.directory(name, config)
        })
    }
}
