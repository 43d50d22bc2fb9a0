//! A store in this process: for one node without Redis, and the twin of Redis in tests.

mod shares;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use self::shares::{Owner, Room, Shares, Short};
use super::Store;
use crate::clock::Clock;
use crate::failure::{EdgeError, EdgeFailure};
use crate::link::Identity;

/// How much a [`MemoryStore`] keeps. Beyond it new keys are refused: to forget old ones would break what they promise.
///
/// Before that, those of a business or a user that holds much are refused, so that there is room for others: a business
/// may hold twice what is free, a user as much as its business may still take.
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
    shares: Shares,
}

struct Held {
    value: Bytes,
    ends: Instant,
    owner: Owner,
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
                self.shares.free(&held.owner, room(&key, &held.value));
            }
        }
    }

    fn put(&mut self, owner: Owner, key: Arc<str>, value: Bytes, ends: Instant) {
        self.shares.add(&owner, room(&key, &value));
        self.ends.insert((ends, Arc::clone(&key)));
        let held = Held { value, ends, owner };
        self.entries.insert(key, held);
    }

    /// Takes the key out, and says whose it was.
    fn take(&mut self, key: &str) -> Option<(Arc<str>, Owner)> {
        let (key, held) = self.entries.remove_entry(key)?;
        self.shares.free(&held.owner, room(&key, &held.value));
        self.ends.remove(&(held.ends, Arc::clone(&key)));
        Some((key, held.owner))
    }

    fn holds(&self, key: &str, expected: &Bytes) -> bool {
        self.entries
            .get(key)
            .is_some_and(|held| held.value == *expected)
    }
}

fn room(key: &str, value: &Bytes) -> Room {
    const SELF: usize = 128;
    Room {
        entries: 1,
        bytes: SELF + key.len() + value.len(),
    }
}

impl MemoryStoreLimits {
    fn size(self) -> Room {
        Room {
            entries: self.entries,
            bytes: self.bytes,
        }
    }
}

type Answer<T> = BoxFuture<'static, Result<T, EdgeError>>;

fn answer<T: Send + 'static>(value: Result<T, EdgeError>) -> Answer<T> {
    Box::pin(ready(value))
}

fn full(short: Short, held: Room) -> EdgeError {
    let keys = held.entries;
    let what = match short {
        Short::Store => format!("{keys} keys are kept in memory"),
        Short::Business => {
            format!("the share of the business is used up; {keys} keys are kept in memory")
        }
        Short::User => format!("the share of the user is used up; {keys} keys are kept in memory"),
    };
    EdgeError::new(EdgeFailure::Full, what)
}

impl Store for MemoryStore {
    fn insert(
        &self,
        owner: &Identity,
        key: String,
        value: Bytes,
        keep: Duration,
    ) -> Answer<Option<Bytes>> {
        let (mut table, now) = self.now();
        if let Some(held) = table.entries.get(key.as_str()) {
            return answer(Ok(Some(held.value.clone())));
        }
        let (owner, size) = (Owner::from(owner), self.limits.size());
        if let Err(short) = table.shares.admit(&owner, room(&key, &value), size) {
            return answer(Err(full(short, table.shares.held())));
        }
        table.put(owner, key.into(), value, now + keep);
        answer(Ok(None))
    }

    fn replace(&self, key: String, expected: Bytes, value: Bytes, keep: Duration) -> Answer<bool> {
        let (mut table, now) = self.now();
        let held = table.holds(&key, &expected).then(|| table.take(&key));
        let Some((key, owner)) = held.flatten() else {
            return answer(Ok(false));
        };
        // A key that is there may grow beyond the bound: its promise is older than the want of room.
        table.put(owner, key, value, now + keep);
        answer(Ok(true))
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
