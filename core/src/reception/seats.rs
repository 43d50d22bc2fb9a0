//! Who is there: callers that are known, and strangers in the order in which they came.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;

/// The connections that are open, by number.
pub(super) struct Seats {
    max: usize,
    per_ip: usize,
    most_strangers: usize,
    next: u64,
    strangers: BTreeMap<u64, Stranger>,
    callers: BTreeMap<u64, Caller>,
}

struct Caller {
    client: IpAddr,
    activity: Arc<Activity>,
}

/// What a connection is at.
pub(super) struct Activity {
    pub(super) busy: AtomicUsize,
    /// When nothing was asked any more.
    idle_since: Mutex<Instant>,
    /// When it is closed if nothing more is asked.
    pub(super) deadline: watch::Sender<Option<Instant>>,
}

impl Activity {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            busy: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            deadline: watch::Sender::new(Some(deadline)),
        }
    }

    pub(super) fn rests(&self) {
        *self.idle_since.lock() = Instant::now();
    }

    /// Since when it does nothing.
    fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.busy.load(Ordering::Acquire) == 0;
        is_idle.then(|| *self.idle_since.lock())
    }
}

struct Stranger {
    client: IpAddr,
    leave: CancellationToken,
}

impl Seats {
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            max: limits.max as usize,
            per_ip: limits.of_one() as usize,
            most_strangers: limits.strangers as usize,
            next: 0,
            strangers: BTreeMap::new(),
            callers: BTreeMap::new(),
        }
    }

    /// Takes a stranger in. Whoever has to leave for it is told, and forgotten.
    pub(super) fn enter(&mut self, client: IpAddr, leave: &CancellationToken) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        let leave = leave.clone();
        self.strangers.insert(number, Stranger { client, leave });
        let is_full = self.strangers.len() > self.most_strangers;
        if is_full
            && let Some(number) = self.longest_of_most()
            && let Some(stranger) = self.strangers.remove(&number)
        {
            stranger.leave.cancel();
        }
        (number, is_full)
    }

    /// The stranger that is here longest, of the client that has the most: a client that opens many loses its own.
    fn longest_of_most(&self) -> Option<u64> {
        let mut held = HashMap::new();
        for stranger in self.strangers.values() {
            *held.entry(stranger.client).or_insert(0_usize) += 1;
        }
        let most = *held.values().max()?;
        let mut strangers = self.strangers.iter();
        let (number, _) =
            strangers.find(|(_, stranger)| held.get(&stranger.client) == Some(&most))?;
        Some(*number)
    }

    /// Makes a caller of a stranger, if need be in place of one that does nothing. `false`: there is no room for one more, or it
    /// had to leave meanwhile.
    pub(super) fn make_known(&mut self, number: u64, activity: &Arc<Activity>) -> bool {
        if self.callers.contains_key(&number) {
            return true;
        }
        let Some(stranger) = self.strangers.get(&number) else {
            return false;
        };
        let client = stranger.client;
        let is_own = |caller: &Caller| caller.client == client;
        let own = self.callers.values().filter(|caller| is_own(caller));
        let has_room = if own.count() >= self.per_ip {
            self.close_idle(is_own)
        } else {
            self.callers.len() < self.max || self.close_idle(|_| true)
        };
        if !has_room {
            return false;
        }
        self.strangers.remove(&number);
        let activity = Arc::clone(activity);
        self.callers.insert(number, Caller { client, activity });
        true
    }

    /// Has the one of these leave that has done nothing for longest; says whether there was one.
    fn close_idle(&mut self, of: impl Fn(&Caller) -> bool) -> bool {
        let callers = self.callers.iter().filter(|(_, caller)| of(caller));
        let idle = callers.filter_map(|(number, caller)| {
            let since = caller.activity.idle_since()?;
            Some((since, *number))
        });
        let Some((_, number)) = idle.min() else {
            return false;
        };
        if let Some(caller) = self.callers.remove(&number) {
            caller.activity.deadline.send_replace(Some(Instant::now()));
        }
        true
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.strangers.remove(&number);
        self.callers.remove(&number);
    }

    /// Strangers and callers.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.strangers.len(), self.callers.len())
    }
}
