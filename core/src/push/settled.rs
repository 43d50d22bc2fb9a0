//! Which pushes may have reached their receivers lately, so that nobody takes their keys for others: who is told of one
//! would be misled about the other. Names and bodies are kept as hashes.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

/// Hashes of 128 bits, under keys of this process: nobody outside finds two texts with one.
#[derive(Clone, Default)]
pub(super) struct Prints(RandomState, RandomState);

/// Stands for what was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Print(u64, u64);

impl Print {
    /// Spreads prints evenly.
    pub(super) fn spread(self) -> u64 {
        self.0
    }
}

impl Prints {
    pub(super) fn of(&self, what: &impl Hash) -> Print {
        Print(self.0.hash_one(what), self.1.hash_one(what))
    }
}

/// What is remembered of pushes that have settled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memories {
    /// Which bodies may have reached their receivers under which names.
    pub(super) settled: Memory,
    /// What this node's links have had, for whoever may ask again.
    pub(super) had: Memory,
}

/// How many are remembered, and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) most: usize,
    pub(super) keep: Duration,
}

/// What is known of the latest that have settled, by name.
pub(super) struct Recent<V> {
    known: HashMap<Print, (Instant, V)>,
    order: VecDeque<(Instant, Print)>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<V> Recent<V> {
    /// Notes something, in place of what was known.
    pub(super) fn note(&mut self, name: Print, value: V, now: Instant, memory: Memory) {
        let before = self.known.insert(name, (now, value));
        if before.is_none_or(|(since, _)| since != now) {
            self.order.push_back((now, name));
        }
        self.forget(now, memory);
    }

    /// What is known under this name.
    pub(super) fn get(&mut self, name: Print, now: Instant, memory: Memory) -> Option<&V> {
        self.forget(now, memory);
        self.known.get(&name).map(|(_, value)| value)
    }

    fn forget(&mut self, now: Instant, memory: Memory) {
        while let Some((since, name)) = self.order.front()
            && (self.order.len() > memory.most || now.duration_since(*since) >= memory.keep)
        {
            if let Entry::Occupied(known) = self.known.entry(*name)
                && known.get().0 == *since
            {
                known.remove();
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Memory = Memory {
        most: 2,
        keep: Duration::from_secs(10),
    };

    #[test]
    fn the_latest_are_remembered_for_a_while() {
        let (prints, now) = (Prints::default(), tokio::time::Instant::now().into_std());
        let [a, b, c] = ["a", "b", "c"].map(|name| prints.of(&name));
        let mut recent = Recent::default();
        recent.note(a, 1, now, MEMORY);
        assert_eq!(recent.get(a, now, MEMORY), Some(&1));
        assert_eq!(recent.get(b, now, MEMORY), None);

        recent.note(b, 2, now, MEMORY);
        recent.note(c, 3, now, MEMORY);
        assert_eq!(recent.get(a, now, MEMORY), None, "two at the most");
        assert_eq!(recent.get(b, now, MEMORY), Some(&2));

        let soon = now + MEMORY.keep / 2;
        recent.note(c, 4, soon, MEMORY);
        let later = now + MEMORY.keep;
        assert_eq!(recent.get(b, later, MEMORY), None, "its time is over");
        assert_eq!(recent.get(c, later, MEMORY), Some(&4), "noted anew");
        let last = soon + MEMORY.keep;
        assert_eq!(recent.get(c, last, MEMORY), None);
        assert!(recent.known.is_empty() && recent.order.is_empty());
    }
}
