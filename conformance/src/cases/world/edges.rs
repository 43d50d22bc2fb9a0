//! Stores and brokers of a case: the twins in memory, whatever the configuration says, with the troubles that steps make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use linkgate_core::edges::Opener;
use linkgate_core::edges::config::{BrokerConfig, StoreConfig};
use linkgate_core::edges::directory::Directory;
use linkgate_core::edges::directory::memory::MemoryDirectory;
use linkgate_filter::broker::{
    Broker, Consumer, Delivery, Full, MemoryBroker, MemoryBrokerLimits, Record, Subscription,
};
use linkgate_filter::store::{MemoryStore, MemoryStoreLimits, Store};
use linkgate_filter::{Clock, EdgeError, EdgeFailure, Identity};
use linkgate_grpc::Connector;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::log::Log;
use crate::cases::language::docs::{Effect, FailsForm, Failure, Trouble, TroubleForm};
use crate::cases::language::{Place, With};
use crate::cases::seen::bytes_value;

/// Opens the edges of a case, and makes trouble for them. Clones open the same ones.
#[derive(Clone)]
pub struct ScriptedEdges {
    clock: Arc<dyn Clock>,
    log: Log,
    connector: Arc<dyn Connector>,
    troubles: Arc<Mutex<BTreeMap<Name, Arc<State>>>>,
    brokers: Arc<Mutex<BTreeMap<String, Arc<MemoryBroker>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Store(String),
    Broker(String),
}

/// What is wrong with an edge, and until when.
#[derive(Default)]
struct State {
    trouble: Mutex<Option<(TroubleForm, Option<Instant>)>>,
    /// Tells those who wait, in the order in which they began to.
    changed: Notify,
}

impl State {
    fn now(&self) -> Option<TroubleForm> {
        let trouble = self.trouble.lock();
        let (trouble, until) = trouble.as_ref()?;
        let is_over = until.is_some_and(|until| Instant::now() >= until);
        (!is_over).then(|| trouble.clone())
    }
}

impl ScriptedEdges {
    /// Edges that tell `log` what comes to them.
    pub fn new(clock: &Arc<dyn Clock>, log: &Log, connector: Arc<dyn Connector>) -> Self {
        Self {
            clock: Arc::clone(clock),
            log: log.clone(),
            connector,
            troubles: Arc::default(),
            brokers: Arc::default(),
        }
    }

    /// Makes trouble for a store.
    pub fn trouble_store(&self, name: &str, trouble: &Trouble) {
        self.trouble(Name::Store(name.to_owned()), trouble);
    }

    /// Makes trouble for a broker.
    pub fn trouble_broker(&self, name: &str, trouble: &Trouble) {
        self.trouble(Name::Broker(name.to_owned()), trouble);
    }

    /// Writes a record as another program does. Whether there is a broker of that name.
    pub fn write(&self, broker: &str, record: Record) -> bool {
        let broker = self.brokers.lock().get(broker).cloned();
        broker.is_some_and(|broker| broker.send(record).is_ok())
    }

    fn trouble(&self, name: Name, trouble: &Trouble) {
        let form = match trouble {
            Trouble::For(time) => TroubleForm {
                r#for: Some(*time),
                ..TroubleForm::default()
            },
            Trouble::Other(form) => form.clone(),
            Trouble::Open(()) => TroubleForm::default(),
        };
        let until = form.r#for.map(|time| Instant::now() + *time);
        let state = self.state(name);
        *state.trouble.lock() = (!form.over).then_some((form, until));
        state.changed.notify_waiters();
    }

    fn state(&self, name: Name) -> Arc<State> {
        let mut troubles = self.troubles.lock();
        troubles.entry(name).or_default().clone()
    }
}

impl Opener for ScriptedEdges {
    fn store(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, String> {
        let limits = match &config.memory {
            Some(memory) => memory.into(),
            None => MemoryStoreLimits {
                entries: 100_000,
                bytes: 64 << 20,
            },
        };
        Ok(Arc::new(ScriptedStore {
            inner: Arc::new(MemoryStore::new(Arc::clone(&self.clock), limits)),
            state: self.state(Name::Store(name.to_owned())),
        }))
    }

    fn broker(&self, name: &str, config: &BrokerConfig) -> Result<Arc<dyn Broker>, String> {
        let limits = match &config.memory {
            Some(memory) => memory.into(),
            // One partition: what a case sees has an order.
            None => MemoryBrokerLimits {
                partitions: 1,
                ..MemoryBrokerLimits::default()
            },
        };
        let inner = Arc::new(MemoryBroker::new(Arc::clone(&self.clock), limits));
        let mut brokers = self.brokers.lock();
        brokers.insert(name.to_owned(), Arc::clone(&inner));
        Ok(Arc::new(ScriptedBroker {
            name: name.to_owned(),
            log: self.log.clone(),
            inner,
            state: self.state(Name::Broker(name.to_owned())),
        }))
    }

    fn directory(&self, _: &str, config: &StoreConfig) -> Result<Arc<dyn Directory>, String> {
        let users = config
            .memory
            .as_ref()
            .map_or(100_000, |memory| memory.max_keys);
        let clock = Arc::clone(&self.clock);
        Ok(Arc::new(MemoryDirectory::new(clock, users as usize)))
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector)
    }
}

struct ScriptedStore {
    inner: Arc<MemoryStore>,
    state: Arc<State>,
}

impl ScriptedStore {
    fn during<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&MemoryStore) -> BoxFuture<'static, Result<T, EdgeError>>,
    ) -> BoxFuture<'static, Result<T, EdgeError>> {
        let trouble = self.state.now();
        match trouble {
            Some(TroubleForm {
                slow: Some(slow), ..
            }) => {
                let answer = operation(&self.inner);
                Box::pin(async move {
                    sleep(*slow).await;
                    answer.await
                })
            }
            Some(trouble) => {
                let error = failure(trouble.with, trouble.effect);
                Box::pin(async move { Err(error) })
            }
            None => operation(&self.inner),
        }
    }
}

impl Store for ScriptedStore {
    fn insert(
        &self,
        owner: &Identity,
        key: String,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'static, Result<Option<Bytes>, EdgeError>> {
        self.during(|store| store.insert(owner, key, value, keep))
    }

    fn replace(
        &self,
        key: String,
        expected: Bytes,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'static, Result<bool, EdgeError>> {
        self.during(|store| store.replace(key, expected, value, keep))
    }

    fn remove(&self, key: String, expected: Bytes) -> BoxFuture<'static, Result<bool, EdgeError>> {
        self.during(|store| store.remove(key, expected))
    }
}

fn failure(with: Failure, effect: Effect) -> EdgeError {
    let failure = match with {
        Failure::Unreachable => EdgeFailure::Unreachable,
        Failure::TimedOut => EdgeFailure::TimedOut,
        Failure::Full => EdgeFailure::Full,
        Failure::Refused => EdgeFailure::Refused,
    };
    let error = EdgeError::new(failure, "as the case says");
    match effect {
        Effect::None => error,
        Effect::Unknown => error.effect_unknown(),
    }
}

struct ScriptedBroker {
    name: String,
    log: Log,
    inner: Arc<MemoryBroker>,
    state: Arc<State>,
}

impl Broker for ScriptedBroker {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        let trouble = self.state.now();
        match trouble {
            Some(trouble) if trouble.with == Failure::Full => return Err(Full(record)),
            Some(trouble) if trouble.slow.is_none() => {
                let error = failure(trouble.with, trouble.effect);
                return Ok(Box::pin(async move { Err(error) }));
            }
            _ => {}
        }
        let slow = trouble.and_then(|trouble| trouble.slow);
        let place = Place::Record(self.name.clone());
        let answer = self.log.ask(place, record_value(&record));
        let inner = Arc::clone(&self.inner);
        let landed = tokio::spawn(async move {
            if let Some(slow) = slow {
                sleep(*slow).await;
            }
            match answer.await {
                Ok(With::Fails(fails)) => Err(broker_failure(&fails.form())),
                Ok(With::Yes | With::Said(_)) => {
                    let landed = inner.send(record);
                    drop(landed);
                    Ok(())
                }
                Ok(With::Never) | Err(_) => std::future::pending().await,
            }
        });
        Ok(Box::pin(async move {
            match landed.await {
                Ok(landed) => landed,
                Err(_) => std::future::pending().await,
            }
        }))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            loop {
                let changed = state.changed.notified();
                let until = match &*state.trouble.lock() {
                    Some((trouble, until)) if trouble.with == Failure::Full => *until,
                    _ => return,
                };
                match until {
                    Some(until) => tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(until) => return,
                    },
                    None => changed.await,
                }
            }
        })
    }

    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        self.inner.subscribe(subscription)
    }
}

fn broker_failure(form: &FailsForm) -> EdgeError {
    let with = match form.with.as_str() {
        "timed_out" => Failure::TimedOut,
        "full" => Failure::Full,
        "refused" => Failure::Refused,
        _ => Failure::Unreachable,
    };
    failure(with, form.effect)
}

fn record_value(record: &Record) -> Value {
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), bytes_value(value)));
    json!({
        "topic": record.topic,
        "key": bytes_value(&record.key),
        "body": bytes_value(&record.payload),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
    })
}
