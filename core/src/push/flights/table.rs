//! All flights of the node, in shards.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use linkgate_filter::{Clock, Fault};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::push::outcome::Status;
use crate::push::settled::{Memories, Memory, Print, Recent};

/// What a table has that ends at a time.
pub(in crate::push) trait Timed: Send + Sync + 'static {
    /// Its time is over.
    fn is_late(&self);
}

/// Which flights there are, under their names.
pub(in crate::push) struct Table<F> {
    shards: Box<[Shard<F>]>,
    memories: ArcSwap<Memories>,
    clock: Arc<dyn Clock>,
}

struct Shard<F> {
    inner: Mutex<Inner<F>>,
    /// There is an earlier time to wait for, or nothing any more.
    changed: Arc<Notify>,
}

struct Inner<F> {
    flights: HashMap<Print, Arc<F>, BuildHasherDefault<AsItIs>>,
    timers: BTreeSet<(Instant, Print)>,
    /// The bodies of those that may have reached their receivers lately.
    settled: Recent<Print>,
    /// Which bodies this node's links have had lately, and how, for whoever may ask again.
    had: Recent<(Print, Status)>,
    /// A task waits for the timers.
    is_timed: bool,
}

/// Names are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

/// What is found under the name of a flight that wants to begin.
pub(super) enum Found<F> {
    /// Nothing: it has begun.
    Free,
    /// It is under way.
    UnderWay(Arc<F>),
    /// Another push has gone out under the name lately.
    Used,
    /// This node's links have had this push lately.
    Had(Status),
}

impl<F> Default for Shard<F> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                flights: HashMap::default(),
                timers: BTreeSet::new(),
                settled: Recent::default(),
                had: Recent::default(),
                is_timed: false,
            }),
            changed: Arc::default(),
        }
    }
}

impl<F: Timed> Table<F> {
    const SHARDS: usize = 16;

    pub(in crate::push) fn new(clock: Arc<dyn Clock>, memories: Memories) -> Arc<Self> {
        let table = Self {
            shards: (0..Self::SHARDS).map(|_| Shard::default()).collect(),
            memories: ArcSwap::default(),
            clock,
        };
        table.remember(memories);
        Arc::new(table)
    }

    /// What is remembered from now on.
    pub(in crate::push) fn remember(&self, memories: Memories) {
        let of_shard = |memory: Memory| Memory {
            most: memory.most.div_ceil(Self::SHARDS),
            ..memory
        };
        self.memories.store(Arc::new(Memories {
            settled: of_shard(memories.settled),
            had: of_shard(memories.had),
        }));
    }

    pub(in crate::push) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn shard(&self, name: Print) -> &Shard<F> {
        &self.shards[name.spread() as usize % Self::SHARDS]
    }

    /// Enters what `flight` makes under its name, if that is free. It ends at `until` at the latest. `recalls`: not, if this
    /// node's links have had it lately.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: Print,
        (body, until, recalls): (Print, Instant, bool),
        flight: impl FnOnce() -> Result<Arc<F>, Fault>,
    ) -> Result<Found<F>, Fault> {
        let shard = self.shard(name);
        let mut inner = shard.inner.lock();
        let inner = &mut *inner;
        let memories = **self.memories.load();
        let vacant = match inner.flights.entry(name) {
            Entry::Occupied(known) => return Ok(Found::UnderWay(Arc::clone(known.get()))),
            Entry::Vacant(vacant) => vacant,
        };
        let now = self.clock.now();
        if let Some(known) = inner.settled.get(name, now, memories.settled)
            && *known != body
        {
            return Ok(Found::Used);
        }
        if recalls
            && let Some((known, status)) = inner.had.get(name, now, memories.had)
            && *known == body
        {
            return Ok(Found::Had(*status));
        }
        vacant.insert(flight()?);
        let is_first = inner.timers.first().is_none_or(|(at, _)| until < *at);
        inner.timers.insert((until, name));
        if !std::mem::replace(&mut inner.is_timed, true) {
            tokio::spawn(watch(
                Arc::downgrade(self),
                name,
                Arc::clone(&shard.changed),
            ));
        } else if is_first {
            shard.changed.notify_one();
        }
        Ok(Found::Free)
    }

    /// A flight has ended: whoever asks again begins anew. If the push may have reached its receiver, its name is not another's
    /// for a while.
    pub(super) fn leave(&self, name: Print, until: Instant, reached: Option<Print>) {
        let shard = self.shard(name);
        let mut inner = shard.inner.lock();
        let gone = inner.flights.remove(&name);
        inner.timers.remove(&(until, name));
        if let Some(body) = reached {
            let (now, memory) = (self.clock.now(), self.memories.load().settled);
            if inner.settled.get(name, now, memory).is_none() {
                inner.settled.note(name, body, now, memory);
            }
        }
        drop(inner);
        drop(gone);
    }

    /// This node's links have had a push, so.
    pub(super) fn note_had(&self, name: Print, body: Print, status: Status) {
        let (now, memory) = (self.clock.now(), self.memories.load().had);
        let mut inner = self.shard(name).inner.lock();
        inner.had.note(name, (body, status), now, memory);
    }

    /// How this node's links have had a push, if they have lately.
    pub(super) fn had(&self, name: Print, body: Print) -> Option<Status> {
        let (now, memory) = (self.clock.now(), self.memories.load().had);
        let mut inner = self.shard(name).inner.lock();
        let (known, status) = *inner.had.get(name, now, memory)?;
        (known == body).then_some(status)
    }

    pub(in crate::push) fn get(&self, name: Print) -> Option<Arc<F>> {
        self.shard(name).inner.lock().flights.get(&name).cloned()
    }

    /// The flights of a shard whose time is over, and when to look again.
    fn due(&self, name: Print) -> (Vec<Arc<F>>, Option<Instant>) {
        let now = self.clock.now();
        let mut inner = self.shard(name).inner.lock();
        let mut due = Vec::new();
        while let Some(&(at, name)) = inner.timers.first() {
            if at > now {
                break;
            }
            inner.timers.pop_first();
            due.extend(inner.flights.get(&name).cloned());
        }
        let next = inner.timers.first().map(|(at, _)| *at);
        inner.is_timed = next.is_some() || !due.is_empty();
        (due, next)
    }
}

impl<F> Drop for Table<F> {
    fn drop(&mut self) {
        for shard in &self.shards {
            shard.changed.notify_one();
        }
    }
}

/// Ends the flights of a shard when their time is over, as long as there are any.
async fn watch<F: Timed>(table: Weak<Table<F>>, shard: Print, changed: Arc<Notify>) {
    loop {
        let Some(held) = table.upgrade() else {
            return;
        };
        let (due, next) = held.due(shard);
        let is_done = due.is_empty() && next.is_none();
        for flight in due {
            flight.is_late();
        }
        if is_done {
            return;
        }
        let clock = Arc::clone(&held.clock);
        drop(held);
        if let Some(next) = next {
            tokio::select! {
                () = clock.sleep_until(next) => {}
                () = changed.notified() => {}
            }
        }
    }
}
