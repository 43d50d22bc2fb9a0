//! A broker that does what a test says.

use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use linkgate_filter::broker::{Broker, Consumer, Delivery, Full, Record, Subscription};
use linkgate_filter::{EdgeError, EdgeFailure};
use parking_lot::Mutex;

use crate::record::header;

/// Has room for some records; each leaves it when the test settles it.
pub(super) struct Scripted(Mutex<State>);

#[derive(Default)]
struct State {
    room: usize,
    taken: Vec<Record>,
    open: Vec<(String, oneshot::Sender<Result<(), EdgeError>>)>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// The message's key; an envelope's is its user's.
fn name(record: &Record) -> String {
    let value = |name: &str| {
        let found = record.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
    };
    value(header::KEY).unwrap_or_else(|| String::from_utf8(record.key.to_vec()).unwrap())
}

impl Scripted {
    pub(super) fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            room,
            ..State::default()
        })))
    }

    /// What it has taken, by the messages' keys.
    pub(super) fn keys(&self) -> Vec<String> {
        self.0.lock().taken.iter().map(name).collect()
    }

    pub(super) fn confirm(&self, key: &str) {
        self.settle(key, Ok(()));
    }

    pub(super) fn settle(&self, key: &str, delivered: Result<(), EdgeError>) {
        let mut state = self.0.lock();
        let at = state.open.iter().position(|(open, _)| open == key);
        let (_, report) = state
            .open
            .remove(at.unwrap_or_else(|| panic!("{key} is not open")));
        state.room += 1;
        state.waiting.clear();
        report.send(delivered).unwrap();
    }

    /// Confirms the oldest record, if there is one.
    pub(super) fn confirm_oldest(&self) -> bool {
        let oldest = self.0.lock().open.first().map(|(key, _)| key.clone());
        oldest.is_some_and(|key| {
            self.confirm(&key);
            true
        })
    }
}

impl Broker for Scripted {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        let mut state = self.0.lock();
        if state.room == 0 {
            return Err(Full(record));
        }
        state.room -= 1;
        let (report, reported) = oneshot::channel();
        state.open.push((name(&record), report));
        state.taken.push(record);
        Ok(Box::pin(async move { reported.await.unwrap() }))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        let (waiting, woken) = oneshot::channel();
        let mut state = self.0.lock();
        if state.room == 0 {
            state.waiting.push(waiting);
        }
        Box::pin(async move {
            woken.await.ok();
        })
    }

    fn subscribe(&self, _: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        Err(EdgeError::new(EdgeFailure::Refused, "nobody reads here"))
    }
}
