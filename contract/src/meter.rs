//! What a pipeline entry counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A number that only grows. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one pipeline entry: its own events, and its faults by code.
#[derive(Default)]
pub struct Meter {
    events: Mutex<BTreeMap<&'static str, Counter>>,
    faults: Mutex<BTreeMap<String, Counter>>,
}

impl Meter {
    /// Distinct fault codes kept per entry; further ones count as `other`.
    const MAX_CODES: usize = 64;

    pub(crate) fn event(&self, name: &'static str) -> Counter {
        self.events.lock().entry(name).or_default().clone()
    }

    pub(crate) fn fault(&self, code: &str) {
        let mut faults = self.faults.lock();
        if let Some(counter) = faults.get(code) {
            return counter.inc();
        }
        let code = if faults.len() < Self::MAX_CODES {
            code
        } else {
            "other"
        };
        faults.entry(code.to_owned()).or_default().inc();
    }

    /// The entry's own counters by name.
    pub fn events(&self) -> Vec<(&'static str, u64)> {
        self.events
            .lock()
            .iter()
            .map(|(name, counter)| (*name, counter.get()))
            .collect()
    }

    /// Faults by code.
    pub fn faults(&self) -> Vec<(String, u64)> {
        self.faults
            .lock()
            .iter()
            .map(|(code, counter)| (code.clone(), counter.get()))
            .collect()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("events", &self.events())
            .field("faults", &self.faults())
            .finish()
    }
}
