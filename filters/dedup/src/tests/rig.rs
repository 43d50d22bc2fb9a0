//! A store, nodes that share it, and their links.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};
use linkgate_filter::backend::Backends;
use linkgate_filter::runner::{Edges, Limits};
use linkgate_filter::store::{MemoryStore, MemoryStoreLimits, Store};
use linkgate_filter::testkit::{TestLink, Testkit, virtual_clock};
use linkgate_filter::{
    Bytes, Command, EdgeError, EdgeFailure, Effect, Identity, Message, Outcome, Registry,
};
use parking_lot::Mutex;

use crate::Dedup;

pub(super) struct Rig {
    store: Arc<Failing>,
    config: String,
}

impl Rig {
    pub(super) fn new(config: &str) -> Self {
        Self::with_store(config, MemoryStoreLimits::default())
    }

    pub(super) fn with_store(config: &str, limits: MemoryStoreLimits) -> Self {
        let store = MemoryStore::new(virtual_clock(), limits);
        Self {
            store: Arc::new(Failing {
                store,
                fails: AtomicBool::new(false),
                loses_answers: AtomicBool::new(false),
                latency: Mutex::default(),
                keys: Mutex::default(),
            }),
            config: config.to_owned(),
        }
    }

    /// A node that has the store.
    pub(super) fn node(&self) -> Node {
        let config = format!("store: main, {}", self.config);
        let entries = format!(
            "[{{ use: test_decoded }}, {{ use: test_answers }}, {{ use: dedup, config: {{ {config} }} }}, {{ use: test_end }}]"
        );
        let edges = Edges::new().with_store("main", Arc::clone(&self.store) as _);
        let registry = Registry::new().with::<Dedup>();
        Node {
            kit: Testkit::with_edges(
                registry,
                Backends::new(),
                Limits::default(),
                edges,
                &entries,
            ),
            taken: Mutex::default(),
            entries,
        }
    }

    /// Every operation of the store fails, or none does.
    pub(super) fn store_fails(&self, fails: bool) {
        self.store.fails.store(fails, Ordering::Relaxed);
    }

    /// What is inserted is in the store, and nobody is told.
    pub(super) fn store_loses_answers(&self, loses: bool) {
        self.store.loses_answers.store(loses, Ordering::Relaxed);
    }

    /// The store does what it is asked for at once, and says so after this long.
    pub(super) fn store_takes(&self, latency: Duration) {
        *self.store.latency.lock() = latency;
    }

    /// Whether the store has a key of the message with this one.
    pub(super) fn has(&self, key: &str) -> bool {
        let keys = self.store.keys.lock();
        keys.iter().any(|place| place.ends_with(key))
    }

    /// Keys in the store.
    pub(super) fn keys(&self) -> usize {
        self.store.store.len()
    }
}

pub(super) struct Node {
    kit: Testkit,
    entries: String,
    taken: Mutex<Vec<Message>>,
}

impl Node {
    pub(super) fn link(&self, user: &str) -> Client {
        Client(self.kit.link(user))
    }

    /// A link of another business.
    pub(super) fn link_of(&self, biz_id: &str, user: &str) -> Client {
        Client(self.kit.open(Identity::new(biz_id, user), |link| link))
    }

    fn take(&self) {
        self.taken.lock().extend(self.kit.taken());
    }

    /// The keys that have reached the backend and are not settled.
    pub(super) fn taken(&self) -> Vec<String> {
        self.take();
        self.taken.lock().iter().map(|m| m.key.clone()).collect()
    }

    /// The backend says what became of the first message with this key.
    pub(super) fn settle(&self, key: &str, outcome: Outcome) {
        self.take();
        let mut taken = self.taken.lock();
        let place = taken.iter().position(|m| m.key == key);
        let place = place.unwrap_or_else(|| panic!("`{key}` has not reached the backend"));
        let m = taken.remove(place);
        drop(taken);
        m.settle(outcome);
    }
}

pub(super) struct Client(TestLink);

impl Client {
    pub(super) async fn send(&mut self, key: &str) {
        self.send_body(key, "body").await;
    }

    pub(super) async fn send_body(&mut self, key: &str, body: &'static str) {
        self.0.business(key, body);
        self.0.run().await;
    }

    pub(super) async fn run(&mut self) {
        self.0.run().await;
    }

    /// Runs while time passes.
    pub(super) async fn run_for(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.0.run().await;
        }
    }

    /// Sends, and gives the answers.
    pub(super) async fn retry(&mut self, key: &str) -> Vec<String> {
        self.send(key).await;
        self.answers().await
    }

    /// What has come down: `key ACK body`, or `key NACK code` with `retry` and `unknown` where the fault says so.
    pub(super) async fn answers(&mut self) -> Vec<String> {
        self.0.run().await;
        self.0.received().iter().map(line).collect()
    }

    pub(super) async fn disconnect(&mut self) {
        self.0.disconnect();
        self.0.run().await;
    }

    /// The pipeline changes to an equal one.
    pub(super) async fn change(&mut self, node: &Node, patience: Duration) {
        let next = node.kit.pipeline(&node.entries);
        self.0.change(&next, patience);
        self.0.run().await;
    }

    /// The link has no time left for what it has not sent on.
    pub(super) async fn refuse_waiting(&mut self) {
        self.0.chains().refuse_waiting();
        self.0.run().await;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

fn line(m: &Message) -> String {
    let key = &m.key;
    match &m.fault {
        None => {
            assert_eq!(m.command, Some(Command::UpstreamAck));
            format!("{key} ACK {}", String::from_utf8_lossy(&m.body))
        }
        Some(fault) => {
            let retry = if fault.retry_after.is_some() {
                " retry"
            } else {
                ""
            };
            let effect = if fault.effect == Effect::Unknown {
                " unknown"
            } else {
                ""
            };
            format!("{key} NACK {}{retry}{effect}", fault.code)
        }
    }
}

struct Failing {
    store: MemoryStore,
    fails: AtomicBool,
    loses_answers: AtomicBool,
    latency: Mutex<Duration>,
    /// What was inserted and has not been removed.
    keys: Mutex<HashSet<String>>,
}

type Answer<T> = BoxFuture<'static, Result<T, EdgeError>>;

impl Failing {
    fn or_fail<T: Send + 'static>(&self, work: impl FnOnce() -> Answer<T>) -> Answer<T> {
        if self.fails.load(Ordering::Relaxed) {
            let error = EdgeError::new(EdgeFailure::TimedOut, "no answer").effect_unknown();
            return Box::pin(ready(Err(error)));
        }
        let (answer, latency) = (work(), *self.latency.lock());
        if latency.is_zero() {
            return answer;
        }
        Box::pin(async move {
            tokio::time::sleep(latency).await;
            answer.await
        })
    }
}

impl Store for Failing {
    fn insert(
        &self,
        owner: &Identity,
        key: String,
        value: Bytes,
        keep: Duration,
    ) -> Answer<Option<Bytes>> {
        if self.loses_answers.load(Ordering::Relaxed) {
            drop(self.store.insert(owner, key, value, keep));
            let error = EdgeError::new(EdgeFailure::TimedOut, "no answer").effect_unknown();
            return Box::pin(ready(Err(error)));
        }
        self.or_fail(|| {
            let inserted = self.store.insert(owner, key.clone(), value, keep);
            let inserted = inserted.now_or_never();
            let inserted = inserted.expect("memory does not wait");
            if inserted.as_ref().is_ok_and(Option::is_none) {
                self.keys.lock().insert(key);
            }
            Box::pin(ready(inserted))
        })
    }

    fn replace(&self, key: String, expected: Bytes, value: Bytes, keep: Duration) -> Answer<bool> {
        self.or_fail(|| self.store.replace(key, expected, value, keep))
    }

    fn remove(&self, key: String, expected: Bytes) -> Answer<bool> {
        self.or_fail(|| {
            let removed = self.store.remove(key.clone(), expected).now_or_never();
            let removed = removed.expect("memory does not wait");
            if removed.as_ref().is_ok_and(|removed| *removed) {
                self.keys.lock().remove(&key);
            }
            Box::pin(ready(removed))
        })
    }
}

/// Runs a case of a property in time that passes only when all wait.
pub(super) fn in_paused_time<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(case)
}
