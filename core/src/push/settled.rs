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

/// How many are remembered, and for how long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) most: usize,
    pub(super) keep: Duration,
}

/// The latest that have settled.
#[derive(Default)]
pub(super) struct Settled {
    bodies: HashMap<Print, Print>,
    order: VecDeque<(Instant, Print)>,
}

impl Settled {
    /// Notes that a push may have reached its receiver.
    pub(super) fn note(&mut self, name: Print, body: Print, now: Instant, memory: Memory) {
        if let Entry::Vacant(vacant) = self.bodies.entry(name) {
            vacant.insert(body);
            self.order.push_back((now, name));
        }
        self.forget(now, memory);
    }

    /// Whether another body has gone out under this name.
    pub(super) fn is_reused(
        &mut self,
        name: Print,
        body: Print,
        now: Instant,
        memory: Memory,
    ) -> bool {
        self.forget(now, memory);
        self.bodies.get(&name).is_some_and(|known| *known != body)
    }

    fn forget(&mut self, now: Instant, memory: Memory) {
        while let Some((since, name)) = self.order.front()
            && (self.order.len() > memory.most || now.duration_since(*since) >= memory.keep)
        {
            self.bodies.remove(name);
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
        let [one, other] = ["hello", "bye"].map(|body| prints.of(&body));
        let [a, b, c] = ["a", "b", "c"].map(|name| prints.of(&name));
        let mut settled = Settled::default();
        settled.note(a, one, now, MEMORY);
        assert!(settled.is_reused(a, other, now, MEMORY));
        assert!(!settled.is_reused(a, one, now, MEMORY));
        assert!(!settled.is_reused(b, other, now, MEMORY));

        settled.note(b, one, now, MEMORY);
        settled.note(c, one, now, MEMORY);
        assert!(!settled.is_reused(a, other, now, MEMORY), "two at the most");
        assert!(settled.is_reused(b, other, now, MEMORY));

        let later = now + MEMORY.keep;
        assert!(
            !settled.is_reused(b, other, later, MEMORY),
            "its time is over"
        );
        assert!(settled.bodies.is_empty() && settled.order.is_empty());
    }
}
