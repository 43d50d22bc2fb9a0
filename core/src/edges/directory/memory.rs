//! A directory in this process: for one node without Redis, and the twin of Redis in tests.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use linkgate_filter::{Clock, EdgeError, EdgeFailure};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::entries::Entries;
use super::{
    Answer, ClaimOf, Directory, DirectoryError, Life, Operation, Record, Shard, Topology, User,
};

/// A directory in this process, as one node sees it. Nothing of it outlives the process.
pub struct MemoryDirectory {
    store: Arc<Store>,
    way: Arc<Mutex<Way>>,
}

/// What becomes of operations on the way between a node and the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// They are done, and answered.
    #[default]
    None,
    /// The directory cannot be reached: they fail at once.
    Unreachable,
    /// They do not arrive, which shows when their time is over.
    Unheard,
    /// They are done, and the answers are lost, which shows when their time is over.
    Unanswered,
}

/// What a shard has had at some time.
#[derive(Clone)]
pub struct Snapshot(Vec<(User, Held)>);

/// What one node has of it.
#[derive(Default)]
struct Way {
    fault: Fault,
    /// By shard: the life that was read, and by which connection.
    seen: HashMap<Shard, (u64, Life)>,
}

impl Way {
    /// What becomes of an operation that sets out now.
    fn meet(&mut self, shard: Shard) -> Fault {
        if self.fault != Fault::None {
            self.seen.remove(&shard);
        }
        self.fault
    }
}

struct Store {
    clock: Arc<dyn Clock>,
    most_users: usize,
    topology: watch::Sender<Option<Arc<dyn Topology>>>,
    data: Mutex<Data>,
}

struct Data {
    users: HashMap<User, Held>,
    /// When users are forgotten, the first first.
    ends: BTreeSet<(Instant, User)>,
    spread: Spread,
    /// By shard.
    now: Vec<Now>,
}

#[derive(Clone)]
struct Held {
    entries: Entries,
    ends: Instant,
}

/// How it is with a shard now.
#[derive(Clone, Copy)]
struct Now {
    life: Life,
    /// Rises when its connections break.
    connection: u64,
}

#[derive(Clone, Copy)]
struct Spread(u16);

impl Topology for Spread {
    fn shards(&self) -> u16 {
        self.0
    }

    fn shard(&self, user: &User) -> Shard {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        Shard((hasher.finish() % u64::from(self.0)) as u16)
    }
}

impl MemoryDirectory {
    /// How long an operation is waited for.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// An empty one, of one shard. Claims of further users are refused beyond `most_users`.
    pub fn new(clock: Arc<dyn Clock>, most_users: usize) -> Self {
        let data = Data {
            users: HashMap::new(),
            ends: BTreeSet::new(),
            spread: Spread(0),
            now: Vec::new(),
        };
        let directory = Self {
            store: Arc::new(Store {
                clock,
                most_users,
                topology: watch::Sender::new(None),
                data: Mutex::new(data),
            }),
            way: Arc::default(),
        };
        directory.spread(1);
        directory
    }

    /// The same directory, as another node sees it.
    #[must_use]
    pub fn of_another_node(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            way: Arc::default(),
        }
    }

    /// What happens from now on on this node's way to it. An operation that meets a fault breaks its connection.
    pub fn set_fault(&self, fault: Fault) {
        self.way.lock().fault = fault;
    }

    /// Spreads the users over so many shards, at least one. All begin another life.
    pub fn spread(&self, shards: u16) {
        let spread = Spread(shards.max(1));
        let mut data = self.store.data.lock();
        data.spread = spread;
        let begin = |_| Now {
            life: another_life(),
            connection: fastrand::u64(..),
        };
        data.now = (0..spread.0).map(begin).collect();
        drop(data);
        self.store.topology.send_replace(Some(Arc::new(spread)));
    }

    /// Forgets all users of a shard, as `FLUSHALL` does: another life begins, which shows when it is read.
    pub fn empty(&self, shard: Shard) {
        let mut data = self.store.data.lock();
        data.put(shard, Snapshot(Vec::new()));
        data.begin(shard, false);
    }

    /// What a shard has.
    pub fn snapshot(&self, shard: Shard) -> Snapshot {
        let data = self.store.data.lock();
        let of_shard = data
            .users
            .iter()
            .filter(|(user, _)| data.spread.shard(user) == shard);
        Snapshot(
            of_shard
                .map(|(user, held)| (user.clone(), held.clone()))
                .collect(),
        )
    }

    /// A replica with this takes the shard's place: its connections break, and another life begins.
    pub fn fail_over(&self, shard: Shard, to: Snapshot) {
        let mut data = self.store.data.lock();
        data.put(shard, to);
        data.begin(shard, true);
    }

    /// How many users it knows.
    pub fn users(&self) -> usize {
        let mut data = self.store.data.lock();
        data.forget(self.store.clock.now());
        data.users.len()
    }
}

fn another_life() -> Life {
    Life(fastrand::u64(..))
}

impl Data {
    /// Puts this in the place of what a shard has.
    fn put(&mut self, shard: Shard, snapshot: Snapshot) {
        let spread = self.spread;
        self.users.retain(|user, _| spread.shard(user) != shard);
        self.ends.retain(|(_, user)| spread.shard(user) != shard);
        for (user, held) in snapshot.0 {
            self.ends.insert((held.ends, user.clone()));
            self.users.insert(user, held);
        }
    }

    fn begin(&mut self, shard: Shard, anew: bool) {
        if let Some(now) = self.now.get_mut(usize::from(shard.0)) {
            now.life = another_life();
            now.connection += u64::from(anew);
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((ends, user)) = self.ends.pop_first() {
            if ends > now {
                self.ends.insert((ends, user));
                return;
            }
            self.users.remove(&user);
        }
    }
}

impl Store {
    fn run(&self, shard: Shard, operations: &[Operation]) -> Vec<Answer> {
        let now = self.clock.now();
        let mut data = self.data.lock();
        data.forget(now);
        let run = |operation| self.run_one(&mut data, shard, operation, now);
        operations.iter().map(run).collect()
    }

    fn run_one(
        &self,
        data: &mut Data,
        shard: Shard,
        operation: &Operation,
        now: Instant,
    ) -> Answer {
        if data.spread.shard(operation.user()) != shard {
            return Err(DirectoryError::Moved);
        }
        if let Operation::Claim(claim) = operation {
            return self.claim(data, claim, now);
        }
        let Some(held) = data.users.get_mut(operation.user()) else {
            return Ok(Record::default());
        };
        let entries = &mut held.entries;
        match operation {
            Operation::Find(_) | Operation::Claim(_) => return Ok(entries.record()),
            Operation::Release(_, id) => entries.release(id),
            Operation::Park(_, id) => entries.park(id),
            Operation::Confirm(_, ids) => entries.confirm(ids),
        }
        Ok(Record::default())
    }

    fn claim(&self, data: &mut Data, claim: &ClaimOf, now: Instant) -> Answer {
        let is_new = !data.users.contains_key(&claim.user);
        if is_new && data.users.len() >= self.most_users {
            let what = format!("{} users are kept in memory", self.most_users);
            return Err(error(EdgeFailure::Full, what));
        }
        let ends = now + claim.keep;
        let begin = || Held {
            entries: Entries::default(),
            ends,
        };
        let held = data.users.entry(claim.user.clone()).or_insert_with(begin);
        let entered = held.entries.claim(claim);
        data.ends.remove(&(held.ends, claim.user.clone()));
        held.ends = ends;
        data.ends.insert((ends, claim.user.clone()));
        let record = held.entries.record();
        match entered {
            Ok(()) => Ok(record),
            Err(_) => Err(error(EdgeFailure::Refused, OUT_OF_EPOCHS)),
        }
    }

    fn now(&self, shard: Shard) -> Result<Now, DirectoryError> {
        let data = self.data.lock();
        let now = data.now.get(usize::from(shard.0));
        now.copied().ok_or(DirectoryError::Moved)
    }
}

const OUT_OF_EPOCHS: &str = "the user's epochs are used up";

fn error(failure: EdgeFailure, what: impl Into<String>) -> DirectoryError {
    DirectoryError::Store(EdgeError::new(failure, what))
}

impl MemoryDirectory {
    /// Ends when it is known what becomes of an operation: whether it is done, and what is answered otherwise.
    async fn arrive(store: &Store, fault: Fault) -> Result<(), DirectoryError> {
        match fault {
            Fault::None => Ok(()),
            Fault::Unreachable => {
                let what = "the directory in memory is made unreachable";
                Err(error(EdgeFailure::Unreachable, what))
            }
            Fault::Unheard | Fault::Unanswered => {
                store
                    .clock
                    .sleep_until(store.clock.now() + Self::TIMEOUT)
                    .await;
                let what = format!("no answer within {:?}", Self::TIMEOUT);
                let late = EdgeError::new(EdgeFailure::TimedOut, what).effect_unknown();
                Err(DirectoryError::Store(late))
            }
        }
    }
}

impl Directory for MemoryDirectory {
    fn topology(&self) -> watch::Receiver<Option<Arc<dyn Topology>>> {
        self.store.topology.subscribe()
    }

    fn life(&self, shard: Shard) -> BoxFuture<'static, Result<Life, DirectoryError>> {
        let (store, way) = (Arc::clone(&self.store), Arc::clone(&self.way));
        Box::pin(async move {
            let fault = way.lock().meet(shard);
            Self::arrive(&store, fault).await?;
            let now = store.now(shard)?;
            way.lock().seen.insert(shard, (now.connection, now.life));
            Ok(now.life)
        })
    }

    fn run(
        &self,
        shard: Shard,
        life: Life,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Result<Vec<Answer>, DirectoryError>> {
        let (store, way) = (Arc::clone(&self.store), Arc::clone(&self.way));
        Box::pin(async move {
            operations.iter().try_for_each(Operation::check)?;
            let now = store.now(shard)?;
            let fault = {
                let mut way = way.lock();
                if way.seen.get(&shard) != Some(&(now.connection, life)) {
                    return Err(DirectoryError::OtherLife);
                }
                way.meet(shard)
            };
            let done = match fault {
                Fault::None | Fault::Unanswered => store.run(shard, &operations),
                Fault::Unreachable | Fault::Unheard => Vec::new(),
            };
            Self::arrive(&store, fault).await?;
            Ok(done)
        })
    }
}

#[cfg(test)]
mod tests;
