//! State that outlives a filter: addressed by scope, filter id and type, so that after a change of the pipeline the
//! successor finds what its predecessor left.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::dropped::{by_panic, discard};

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
pub struct StateTable {
    held: Mutex<Vec<(Arc<str>, Held)>>,
    /// How often the table has been handed on.
    epoch: AtomicU64,
}

type Held = Arc<dyn Any + Send + Sync>;

impl StateTable {
    /// `init` runs without a lock, as it may ask for state itself. Of two that begin at once, one is dropped.
    pub(crate) fn shared<T: Send + Sync + 'static>(
        &self,
        filter: &Arc<str>,
        init: impl FnOnce() -> T,
    ) -> Arc<T> {
        if let Some(value) = find(&self.held.lock(), filter) {
            return value;
        }
        let own = Arc::new(init());
        let mut held = self.held.lock();
        if let Some(value) = find(&held, filter) {
            // What drops `own` may ask for state as well.
            drop(held);
            return value;
        }
        held.push((Arc::clone(filter), Arc::clone(&own) as Held));
        own
    }

    /// Claims state for a link that was given the table in `epoch`. Who has handed it on since finds nothing to own, even
    /// if it claims later than its successor.
    pub(crate) fn owned<T: Send + 'static>(
        &self,
        epoch: u64,
        filter: &Arc<str>,
        init: impl FnOnce() -> T,
    ) -> Owned<T> {
        let cell = || OwnedCell(Mutex::new((Owner::default(), init())));
        if epoch < self.epoch.load(Ordering::Acquire) {
            return Owned {
                cell: Arc::new(cell()),
                owner: Owner::NOBODY,
            };
        }
        Owned::claim(self.shared(filter, cell), epoch)
    }

    /// The table goes to another link. Says in which epoch.
    pub(crate) fn hand_on(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The filter of this id has panicked. The second time in the life of the table the state is let go of that the filter
    /// has here, as it may be what it trips over.
    pub(crate) fn panicked(&self, filter: &Arc<str>) {
        struct Once;
        let forgotten: Vec<_> = {
            let mut held = self.held.lock();
            let is_second = held
                .iter()
                .any(|(id, value)| id == filter && value.is::<Once>());
            if is_second {
                held.extract_if(.., |(id, _)| id == filter).collect()
            } else {
                held.push((Arc::clone(filter), Arc::new(Once)));
                Vec::new()
            }
        };
        by_panic(|| discard(forgotten));
    }

    fn in_use(&self) -> bool {
        let held = self.held.lock();
        held.iter().any(|(_, value)| Arc::strong_count(value) > 1)
    }
}

impl fmt::Debug for StateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTable({})", self.held.lock().len())
    }
}

fn find<T: Send + Sync + 'static>(held: &[(Arc<str>, Held)], filter: &Arc<str>) -> Option<Arc<T>> {
    let mut own = held.iter().filter(|(id, _)| id == filter);
    own.find_map(|(_, value)| Arc::clone(value).downcast().ok())
}

struct OwnedCell<T>(Mutex<(Owner, T)>);

/// Who owns a cell: the last to claim it in its latest epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owner {
    epoch: u64,
    claim: u64,
}

impl Owner {
    const NOBODY: Self = Self {
        epoch: u64::MAX,
        claim: 0,
    };
}

/// State that this filter owns until a successor claims it: the chain after a change-over, or the chain of the user's
/// next link. From then on the old owner is fenced off.
pub struct Owned<T> {
    cell: Arc<OwnedCell<T>>,
    owner: Owner,
}

impl<T> Owned<T> {
    fn claim(cell: Arc<OwnedCell<T>>, epoch: u64) -> Self {
        let owner = {
            let mut held = cell.0.lock();
            // Between the look at the table's epoch and this one, a successor may have claimed it.
            if epoch < held.0.epoch {
                Owner::NOBODY
            } else {
                let claim = held.0.claim + 1;
                held.0 = Owner { epoch, claim };
                held.0
            }
        };
        Self { cell, owner }
    }

    /// Works on the state; `None` once a successor has claimed it. The lock is held for the length of `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut held = self.cell.0.lock();
        (held.0 == self.owner).then(|| work(&mut held.1))
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
                let table = {
                    let mut shard = self.users[self.shard(&key)].lock();
                    let user = shard.entry(key).or_default();
                    user.idle_since = None;
                    Arc::clone(&user.table)
                };
                table.shared(filter, init)
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
                // Whoever has the table is about to use what is in it.
                if Arc::strong_count(&user.table) > 1 || user.table.in_use() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_a_filter_that_panics_again_is_let_go_of() {
        let table = StateTable::default();
        let (keep, other): (Arc<str>, Arc<str>) = ("keep".into(), "other".into());
        table.owned(0, &keep, || 1).with(|value| *value = 2);
        table.owned(0, &other, || 1).with(|value| *value = 2);
        let left = |id| table.owned(0, id, || 1).with(|value| *value);
        table.panicked(&keep);
        assert_eq!((left(&keep), left(&other)), (Some(2), Some(2)));
        table.panicked(&keep);
        assert_eq!((left(&keep), left(&other)), (Some(1), Some(2)));
    }

    const SCOPES: [SharedScope; 3] = [SharedScope::User, SharedScope::Biz, SharedScope::Node];

    #[test]
    fn what_makes_shared_state_may_ask_for_shared_state() {
        let states = States::default();
        let id: Arc<str> = "id".into();
        let shared = |scope, init: &dyn Fn() -> u8| states.shared(scope, &id, &id, &id, init);
        for scope in SCOPES {
            for inner in SCOPES {
                let made = states.shared(scope, &id, &id, &id, || {
                    format!("{inner:?}{}", shared(inner, &|| 1))
                });
                assert!(made.ends_with('1'));
            }
        }
    }

    #[test]
    fn of_two_that_make_the_same_state_at_once_all_get_one() {
        /// Asks for state when it is dropped.
        struct Asks(&'static StateTable, &'static Arc<str>);
        impl Drop for Asks {
            fn drop(&mut self) {
                self.0.shared(self.1, || 1_u8);
            }
        }
        for scope in SCOPES {
            let states = States::default();
            let id: Arc<str> = "id".into();
            let mut first = None;
            let second = states.shared(scope, &id, &id, &id, || {
                first = Some(states.shared(scope, &id, &id, &id, || vec![1]));
                vec![2]
            });
            assert_eq!(*second, [1]);
            assert!(Arc::ptr_eq(&second, &first.unwrap()));
        }
        let table: &StateTable = Box::leak(Box::default());
        let id: &Arc<str> = Box::leak(Box::new("id".into()));
        table.shared(id, || {
            table.shared(id, || Asks(table, id));
            Asks(table, id)
        });
    }

    #[test]
    fn a_user_is_not_forgotten_while_state_of_theirs_is_made() {
        let states = States::new(StateLimits {
            idle_users: 0,
            keep_users: Duration::ZERO,
        });
        let id: Arc<str> = "id".into();
        let shared = || states.shared(SharedScope::User, &id, &id, &id, || 1_u8);
        let made = states.shared(SharedScope::User, &id, &id, &id, || {
            states.sweep(tokio::time::Instant::now().into_std());
            2_u8
        });
        assert!(Arc::ptr_eq(&made, &shared()));
    }
}
