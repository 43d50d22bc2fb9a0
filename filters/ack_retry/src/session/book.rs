//! Pushes found by age, by key and by deadline. The three indexes are kept in step here and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::push::Push;

/// A push's place in the order of arrival.
pub(crate) type Place = u64;

#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Boxed, as a node of the map has room for eleven.
    pushes: BTreeMap<Place, Box<Push>>,
    /// Those to be acknowledged.
    by_key: HashMap<Arc<str>, Place>,
    due: BTreeSet<(Instant, Place)>,
    next: Place,
    weight: usize,
}

impl Book {
    pub(crate) fn insert(&mut self, push: Push) {
        let place = self.next;
        self.next += 1;
        self.weight += push.weight;
        if push.ack {
            self.by_key.insert(Arc::clone(&push.key), place);
        }
        self.due.extend(push.due().map(|at| (at, place)));
        self.pushes.insert(place, Box::new(push));
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Box<Push>> {
        let push = self.pushes.remove(&place)?;
        self.weight -= push.weight;
        if push.ack {
            self.by_key.remove(&push.key);
        }
        if let Some(at) = push.due() {
            self.due.remove(&(at, place));
        }
        Some(push)
    }

    /// Works on a push; its deadline may change, its key may not.
    pub(crate) fn change<R>(
        &mut self,
        place: Place,
        work: impl FnOnce(&mut Push) -> R,
    ) -> Option<R> {
        let push = self.pushes.get_mut(&place)?;
        let before = push.due();
        let done = work(push);
        let after = push.due();
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, place));
            }
            self.due.extend(after.map(|at| (at, place)));
        }
        Some(done)
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Push> {
        self.pushes.get(&place).map(AsRef::as_ref)
    }

    pub(crate) fn find(&self, key: &str) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    /// The oldest push from `place` on.
    pub(crate) fn oldest_from(&self, place: Place) -> Option<(Place, &Push)> {
        let (place, push) = self.pushes.range(place..).next()?;
        Some((*place, push))
    }

    /// The push with the nearest deadline.
    pub(crate) fn nearest(&self) -> Option<(Instant, Place)> {
        self.due.first().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.pushes.len()
    }

    /// All places, the oldest first.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.pushes.keys().copied().collect()
    }

    /// What all pushes weigh, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn into_pushes(self) -> impl Iterator<Item = Push> {
        self.pushes.into_values().map(|push| *push)
    }
}
