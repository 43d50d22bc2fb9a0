//! The table of the node's links.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use linkgate_filter::runner::{Pipeline, StateTable};
use linkgate_filter::{Identity, LinkInfo};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::handle::LinkHandle;
use super::journal::{Backlog, Before, Journal, Reader, User};
use super::mailbox::PushBudget;
use super::settings::{LinkSettings, SecondLogin};

/// The identity has as many links as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken;

type Shard = HashMap<User, Vec<Arc<LinkHandle>>>;

/// The table of the node's links, by user.
pub struct LinkManager {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    next_id: AtomicU64,
    open: AtomicUsize,
    /// Links are held when they come.
    holds: AtomicBool,
    journal: Arc<Journal>,
}

impl Default for LinkManager {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkManager {
    const SHARDS: usize = 64;

    /// An empty table.
    pub fn new() -> Self {
        let shards = (0..Self::SHARDS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            next_id: AtomicU64::new(1),
            open: AtomicUsize::new(0),
            holds: AtomicBool::new(false),
            journal: Arc::default(),
        }
    }

    fn shard(&self, key: &User) -> &Mutex<Shard> {
        &self.shards[(self.hasher.hash_one(key) % Self::SHARDS as u64) as usize]
    }

    /// Enters a new link; `place` is the listener that let it in, and the pipeline that it begins with. `describe` makes what filters know of it from its id and its session.
    ///
    /// # Errors
    /// [`Taken`], by the policy.
    pub fn enter(
        &self,
        identity: &Identity,
        place: (&Arc<str>, &Arc<Pipeline>),
        settings: &LinkSettings,
        budget: &Arc<PushBudget>,
        describe: impl FnOnce(u64, Option<Arc<StateTable>>) -> LinkInfo,
    ) -> Result<Arc<LinkHandle>, Taken> {
        let key = key(identity);
        let mut shard = self.shard(&key).lock();
        let links = shard.entry(key).or_default();
        // One that was replaced before has no session to hand on any more.
        let same = || {
            let own = links.iter().filter(|link| !link.is_replaced());
            own.filter(|link| link.info().identity == *identity)
        };
        let live = same().filter(|link| link.is_live()).count();
        // Those that give way; the first of them hands its session on.
        let replaced: Vec<_> = match settings.second_login {
            SecondLogin::Reject if live > 0 => return Err(Taken),
            SecondLogin::Replace | SecondLogin::Reject => same().rev().cloned().collect(),
            SecondLogin::Allow(most) if live >= most.max(1) as usize => same()
                .filter(|link| link.is_live())
                .take(live + 1 - most.max(1) as usize)
                .cloned()
                .collect(),
            SecondLogin::Allow(_) => same()
                .filter(|link| !link.is_live())
                .take(1)
                .cloned()
                .collect(),
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = replaced
            .first()
            .map(|link| Arc::clone(link.info().session()));
        let handle = Arc::new(LinkHandle::new(
            Arc::new(describe(id, session)),
            place,
            settings,
            Arc::clone(budget),
        ));
        let counted = replaced.iter().filter(|link| is_here(link));
        if self.holds.load(Ordering::Acquire) {
            handle.hold();
        }
        let before = || Before {
            links: count(links),
            replaced: counted.map(|link| link.info().id).collect(),
        };
        self.journal.came(handle.info(), before);
        links.push(Arc::clone(&handle));
        replaced.iter().for_each(|link| link.gives_way());
        drop(shard);
        self.open.fetch_add(1, Ordering::Relaxed);
        for link in replaced {
            link.replace();
        }
        Ok(handle)
    }

    /// The link's socket is gone, though it may still settle messages or keep a session.
    pub(super) fn park(&self, handle: &Arc<LinkHandle>) {
        let key = key(&handle.info().identity);
        let shard = self.shard(&key).lock();
        if handle.park() {
            let counted = !handle.is_replaced();
            let links = shard.get(&key).map_or(&[][..], Vec::as_slice);
            let before = || count(links) + usize::from(counted);
            self.journal.went(handle.info(), counted, before);
        }
    }

    /// Takes a link out of the table; only this one, never a successor of the same identity.
    pub fn leave(&self, handle: &Arc<LinkHandle>) {
        let key = key(&handle.info().identity);
        let mut shard = self.shard(&key).lock();
        let Some(links) = shard.get_mut(&key) else {
            return;
        };
        let before = links.len();
        links.retain(|link| !Arc::ptr_eq(link, handle));
        let left = before - links.len();
        if links.is_empty() {
            shard.remove(&key);
        }
        drop(shard);
        self.open.fetch_sub(left, Ordering::Relaxed);
    }

    /// The live links of a user: at this device, or at all.
    pub fn find(&self, user: &User, device_id: Option<&str>) -> SmallVec<[Arc<LinkHandle>; 2]> {
        let shard = self.shard(user).lock();
        let links = shard.get(user).into_iter().flatten();
        let wanted = links.filter(|link| {
            let device = link.info().identity.device_id.as_deref();
            is_here(link) && (device_id.is_none() || device_id == device)
        });
        wanted.cloned().collect()
    }

    /// This very link, if it is in the table.
    pub fn get(&self, info: &LinkInfo) -> Option<Arc<LinkHandle>> {
        let key = key(&info.identity);
        let shard = self.shard(&key).lock();
        let mut links = shard.get(&key).into_iter().flatten();
        links.find(|link| link.info().id == info.id).cloned()
    }

    /// From now on links are held when they come, until somebody has them served.
    pub fn hold_new(&self) {
        self.holds.store(true, Ordering::Release);
    }

    /// Who reads which links come and go.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Reads what comes and goes from now on, and first, as if they came now, of the links that are there, in the order in
    /// which they were opened.
    pub fn read(&self, backlog: Backlog) -> Reader {
        let reader = self.journal.read(backlog);
        for link in self.all() {
            let key = key(&link.info().identity);
            let shard = self.shard(&key).lock();
            let links = shard.get(&key).into_iter().flatten();
            let links = links.filter(|link| !link.is_parked());
            let links = links.map(|link| (Arc::clone(link.info()), link.is_replaced()));
            reader.finds(&key, links);
        }
        reader
    }

    /// Every link in the table, parked ones too, in the order in which they were opened.
    pub fn all(&self) -> Vec<Arc<LinkHandle>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.lock().values().flatten().cloned());
        }
        all.sort_unstable_by_key(|link| link.info().id);
        all
    }

    /// Links in the table, parked ones too.
    pub fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether its user has this link.
fn is_here(link: &LinkHandle) -> bool {
    !link.is_parked() && !link.is_replaced()
}

fn count(links: &[Arc<LinkHandle>]) -> usize {
    links.iter().filter(|link| is_here(link)).count()
}

fn key(identity: &Identity) -> User {
    (Arc::clone(&identity.biz_id), Arc::clone(&identity.user_id))
}
