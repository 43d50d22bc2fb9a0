//! State that outlives a filter: addressed by scope, filter id and type, so that after a change of the pipeline the
//! successor finds what its predecessor left.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// State that links share. `T` brings its own atomics or short locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SharedScope {
    /// All links of one user.
    User,
    /// All links of one business.
    Biz,
    /// All links of the node.
    Node,
}

/// State that one live chain owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnedScope {
    /// Ends with the link.
    Link,
    /// Outlives the link for a while; the user's next link takes it over.
    Session,
}

/// A place for state, by filter id and type.
#[derive(Default)]
pub struct StateTable(Mutex<Vec<(Arc<str>, Held)>>);

type Held = Arc<dyn Any + Send + Sync>;

impl StateTable {
    pub(crate) fn shared<T: Send + Sync + 'static>(
        &self,
        filter: &Arc<str>,
        init: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut held = self.0.lock();
        for (id, value) in held.iter() {
            if id == filter
                && let Ok(value) = Arc::clone(value).downcast::<T>()
            {
                return value;
            }
        }
        let value = Arc::new(init());
        held.push((Arc::clone(filter), Arc::clone(&value) as Held));
        value
    }

    pub(crate) fn owned<T: Send + 'static>(
        &self,
        filter: &Arc<str>,
        init: impl FnOnce() -> T,
    ) -> Owned<T> {
        Owned::claim(self.shared(filter, || OwnedCell(Mutex::new((0, init())))))
    }

    fn in_use(&self) -> bool {
        self.0
            .lock()
            .iter()
            .any(|(_, value)| Arc::strong_count(value) > 1)
    }
}

impl fmt::Debug for StateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTable({})", self.0.lock().len())
    }
}

struct OwnedCell<T>(Mutex<(u64, T)>);

/// State that this filter owns until a successor claims it: the chain after a change-over, or the chain of the user's
/// next link. From then on the old owner is fenced off.
pub struct Owned<T> {
    cell: Arc<OwnedCell<T>>,
    claim: u64,
}

impl<T> Owned<T> {
    fn claim(cell: Arc<OwnedCell<T>>) -> Self {
        let claim = {
            let mut held = cell.0.lock();
            held.0 += 1;
            held.0
        };
        Self { cell, claim }
    }

    /// Works on the state; `None` once a successor has claimed it. The lock is held for the length of `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut held = self.cell.0.lock();
        (held.0 == self.claim).then(|| work(&mut held.1))
    }
}

/// How much shared state a node keeps for users without a link.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    /// Users with state and no link, at the most; beyond it those idle longest are forgotten first.
    pub idle_users: usize,
    /// How long the state of a user without a link is kept.
    pub keep_users: Duration,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            idle_users: 100_000,
            keep_users: Duration::from_secs(600),
        }
    }
}

/// The shared state of a node.
pub struct States {
    node: StateTable,
    businesses: Mutex<HashMap<Arc<str>, Arc<StateTable>>>,
    users: [Mutex<HashMap<UserKey, UserState>>; States::SHARDS],
    hasher: RandomState,
    limits: StateLimits,
}

type UserKey = (Arc<str>, Arc<str>);

#[derive(Default)]
struct UserState {
    table: Arc<StateTable>,
    idle_since: Option<Instant>,
}

impl Default for States {
    fn default() -> Self {
        Self::new(StateLimits::default())
    }
}

impl States {
    const SHARDS: usize = 32;

    /// An empty node.
    pub fn new(limits: StateLimits) -> Self {
        let users = std::array::from_fn(|_| Mutex::default());
        Self {
            node: StateTable::default(),
            businesses: Mutex::default(),
            users,
            hasher: RandomState::new(),
            limits,
        }
    }

    pub(crate) fn shared<T: Send + Sync + 'static>(
        &self,
        scope: SharedScope,
        biz_id: &Arc<str>,
        user_id: &Arc<str>,
        filter: &Arc<str>,
        init: impl FnOnce() -> T,
    ) -> Arc<T> {
        match scope {
            SharedScope::Node => self.node.shared(filter, init),
            SharedScope::Biz => {
                let table = Arc::clone(
                    self.businesses
                        .lock()
                        .entry(Arc::clone(biz_id))
                        .or_default(),
                );
                table.shared(filter, init)
            }
            SharedScope::User => {
                let key = (Arc::clone(biz_id), Arc::clone(user_id));
                let mut shard = self.users[self.shard(&key)].lock();
                let user = shard.entry(key).or_default();
                user.idle_since = None;
                user.table.shared(filter, init)
            }
        }
    }

    fn shard(&self, key: &impl Hash) -> usize {
        (self.hasher.hash_one(key) % Self::SHARDS as u64) as usize
    }

    /// Forgets the state of users who have had no link for long, and of the longest idle beyond the limit. To be called
    /// now and then, such as every ten seconds.
    pub fn sweep(&self, now: Instant) {
        let room = self.limits.idle_users / Self::SHARDS;
        for shard in &self.users {
            let mut shard = shard.lock();
            let mut idle = Vec::new();
            shard.retain(|key, user| {
                if user.table.in_use() {
                    user.idle_since = None;
                    return true;
                }
                let since = *user.idle_since.get_or_insert(now);
                let keep = now.saturating_duration_since(since) < self.limits.keep_users;
                if keep {
                    idle.push((since, key.clone()));
                }
                keep
            });
            if idle.len() > room {
                idle.sort_unstable();
                for (_, key) in idle.drain(..idle.len() - room) {
                    shard.remove(&key);
                }
            }
        }
    }

    /// Users whose state is kept.
    pub fn users(&self) -> usize {
        self.users.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("users", &self.users())
            .finish_non_exhaustive()
    }
}
