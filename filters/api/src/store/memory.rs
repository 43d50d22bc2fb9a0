//! A store in this process: for one node without Redis, and the twin of Redis in tests.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::Store;
use crate::clock::Clock;
use crate::edges::{EdgeError, EdgeFailure};

/// How much a [`MemoryStore`] keeps. Beyond it new keys are refused: to forget old ones would break what they promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStoreLimits {
    /// Keys.
    pub entries: usize,
    /// What keys and values may weigh, with 128 bytes for each key.
    pub bytes: usize,
}

impl Default for MemoryStoreLimits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 256 << 20,
        }
    }
}

/// A bounded store in this process. Nothing of it outlives the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    limits: MemoryStoreLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Arc<str>, Held>,
    /// When entries end, the first first.
    ends: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
}

struct Held {
    value: Bytes,
    ends: Instant,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, limits: MemoryStoreLimits) -> Self {
        Self {
            clock,
            limits,
            table: Mutex::default(),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.now().0.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table without what has ended, and the time.
    fn now(&self) -> (parking_lot::MutexGuard<'_, Table>, Instant) {
        let now = self.clock.now();
        let mut table = self.table.lock();
        table.forget(now);
        (table, now)
    }
}

impl Table {
    fn forget(&mut self, now: Instant) {
        while let Some((ends, key)) = self.ends.pop_first() {
            if ends > now {
                self.ends.insert((ends, key));
                return;
            }
            if let Some(held) = self.entries.remove(&key) {
                self.bytes -= weight(&key, &held.value);
            }
        }
    }

    fn put(&mut self, key: &str, value: Bytes, ends: Instant) {
        self.take(key);
        let key: Arc<str> = key.into();
        self.bytes += weight(&key, &value);
        self.ends.insert((ends, Arc::clone(&key)));
        self.entries.insert(key, Held { value, ends });
    }

    fn take(&mut self, key: &str) {
        if let Some((key, held)) = self.entries.remove_entry(key) {
            self.bytes -= weight(&key, &held.value);
            self.ends.remove(&(held.ends, key));
        }
    }

    fn holds(&self, key: &str, expected: &Bytes) -> bool {
        self.entries
            .get(key)
            .is_some_and(|held| held.value == *expected)
    }
}

fn weight(key: &str, value: &Bytes) -> usize {
    const SELF: usize = 128;
    SELF + key.len() + value.len()
}

type Answer<T> = BoxFuture<'static, Result<T, EdgeError>>;

fn answer<T: Send + 'static>(value: Result<T, EdgeError>) -> Answer<T> {
    Box::pin(ready(value))
}

impl Store for MemoryStore {
    fn insert(&self, key: String, value: Bytes, keep: Duration) -> Answer<Option<Bytes>> {
        let (mut table, now) = self.now();
        if let Some(held) = table.entries.get(key.as_str()) {
            return answer(Ok(Some(held.value.clone())));
        }
        if table.entries.len() >= self.limits.entries
            || table.bytes + weight(&key, &value) > self.limits.bytes
        {
            let what = format!("{} keys are kept in memory", table.entries.len());
            return answer(Err(EdgeError::new(EdgeFailure::Full, what)));
        }
        table.put(&key, value, now + keep);
        answer(Ok(None))
    }

    fn replace(&self, key: String, expected: Bytes, value: Bytes, keep: Duration) -> Answer<bool> {
        let (mut table, now) = self.now();
        let found = table.holds(&key, &expected);
        if found {
            // A key that is there may grow beyond the bound: its promise is older than the want of room.
            table.put(&key, value, now + keep);
        }
        answer(Ok(found))
    }

    fn remove(&self, key: String, expected: Bytes) -> Answer<bool> {
        let (mut table, _) = self.now();
        let found = table.holds(&key, &expected);
        if found {
            table.take(&key);
        }
        answer(Ok(found))
    }
}

#[cfg(test)]
mod tests;
