//! The timers of a chain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A timer that a filter has set, to take it back: [`Context::cancel`](crate::Context::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    at: Instant,
    /// Equal times go off in the order of setting. No two chains have one number: state that outlives a chain may keep ids of
    /// an earlier one.
    order: u64,
}

/// What goes off, in order.
pub(crate) struct Timers {
    set: BTreeMap<TimerId, Timer>,
    /// The latest number.
    ever: u64,
}

impl Default for Timers {
    fn default() -> Self {
        static CHAINS: AtomicU64 = AtomicU64::new(0);
        Self {
            set: BTreeMap::new(),
            // Room for as many timers as a chain ever sets.
            ever: CHAINS.fetch_add(1, Ordering::Relaxed) << 32,
        }
    }
}

/// Whose timer it is, and the number of what goes with it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) slot: usize,
    pub(crate) number: u32,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, slot: usize, number: u32) -> TimerId {
        self.ever += 1;
        let id = TimerId {
            at,
            order: self.ever,
        };
        self.set.insert(id, Timer { slot, number });
        id
    }

    /// Takes back a timer of this slot. Says the number of what goes with it.
    pub(crate) fn cancel(&mut self, id: TimerId, slot: usize) -> Option<u32> {
        // Whoever opens a filter anew may have an id of the one before.
        let timer = self.set.get(&id).filter(|timer| timer.slot == slot)?.number;
        self.set.remove(&id);
        Some(timer)
    }

    /// Takes out the next one that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let next = self.set.first_entry()?;
        (next.key().at <= now).then(|| next.remove())
    }

    /// When the next one goes off.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.set.first_key_value().map(|(id, _)| id.at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    /// The number of the latest one that was set.
    pub(crate) fn latest(&self) -> u64 {
        self.ever
    }

    /// Takes out those that were set up to this number.
    pub(crate) fn take_until(&mut self, latest: u64) -> impl Iterator<Item = Timer> + use<> {
        let later = |id: &TimerId| id.order > latest;
        let set = std::mem::take(&mut self.set);
        let (later, first) = set
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(id, _)| later(id));
        self.set = later;
        first.into_values()
    }

    /// The filter of this slot is no more.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.set.retain(|_, timer| timer.slot != slot);
    }
}
