//! The unsettled messages of a chain: for each a stack of the filters that want to hear its outcome.

use smallvec::SmallVec;

use crate::receipt::Receipt;

/// One unsettled message. Its place here is the place that its outcome has reserved in the mailbox.
#[derive(Default)]
pub(crate) struct Entry {
    /// Slots to be told, the last one first, each with the number of its token.
    pub(crate) stack: SmallVec<[(u16, u32); 4]>,
    /// Who gave the message into the chain with a receipt of its own, and is told last.
    pub(crate) parent: Option<Receipt>,
    /// What a business message on its way upstream weighs in the chain's bounds; `None` for any other.
    business: Option<u32>,
    /// Has left for the trunk.
    in_trunk: bool,
    /// A filter has heard its outcome.
    pub(crate) heard: bool,
}

impl Entry {
    /// A message that came with this receipt, or with none.
    pub(crate) fn new(parent: Option<Receipt>) -> Self {
        Self {
            parent,
            ..Self::default()
        }
    }

    /// Counts as a business message on its way upstream.
    pub(crate) fn is_business(&self) -> bool {
        self.business.is_some()
    }

    /// Has left for the trunk.
    pub(crate) fn is_in_trunk(&self) -> bool {
        self.in_trunk
    }
}

#[derive(Default)]
struct Place {
    number: u64,
    entry: Option<Entry>,
}

/// A table of entries whose numbers are never used twice, so that a late outcome cannot meet a newer message: the low
/// half of a number is the place, the high half counts the entries there have ever been. (It starts again after 2^32
/// entries; for a number to return, an outcome would have to be late by exactly as many messages.)
#[derive(Default)]
pub(crate) struct Entries {
    places: Vec<Place>,
    free: Vec<u32>,
    inserted: u32,
    business: usize,
    weight: usize,
    in_trunk: usize,
}

impl Entries {
    pub(crate) fn insert(&mut self, entry: Entry) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        self.inserted = self.inserted.wrapping_add(1);
        let number = u64::from(self.inserted) << 32 | u64::from(index);
        let entry = Some(entry);
        self.places[index as usize] = Place { number, entry };
        number
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let place = self.places.get_mut(number as u32 as usize)?;
        place.entry.as_mut().filter(|_| place.number == number)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Entry> {
        self.get_mut(number)?;
        let entry = self.places[number as u32 as usize].entry.take()?;
        self.free.push(number as u32);
        if let Some(weight) = entry.business {
            self.business -= 1;
            self.weight -= weight as usize;
        }
        if entry.in_trunk {
            self.in_trunk -= 1;
        }
        Some(entry)
    }

    /// Gives back the room of a burst.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            (self.places, self.free) = Default::default();
        }
    }

    /// The message is a business message of this weight.
    pub(crate) fn charge(&mut self, number: u64, weight: usize) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        if let Some(entry) = self.get_mut(number)
            && entry.business.is_none()
        {
            entry.business = Some(weight);
            self.business += 1;
            self.weight += weight as usize;
        }
    }

    /// Marks the message as handed to the trunk.
    pub(crate) fn sent_to_trunk(&mut self, number: u64) {
        if let Some(entry) = self.get_mut(number) {
            entry.in_trunk = true;
            self.in_trunk += 1;
        }
    }

    /// Unsettled business messages.
    pub(crate) fn business(&self) -> usize {
        self.business
    }

    /// What the unsettled business messages weigh, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Business messages that are in the trunk.
    pub(crate) fn in_trunk(&self) -> usize {
        self.in_trunk
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Gives an entry another number: whatever comes for the old one finds nothing.
    pub(crate) fn renumber(&mut self, number: u64) -> Option<u64> {
        self.get_mut(number)?;
        self.inserted = self.inserted.wrapping_add(1);
        let place = number as u32;
        let renewed = u64::from(self.inserted) << 32 | u64::from(place);
        self.places[place as usize].number = renewed;
        Some(renewed)
    }

    /// The filter of this slot is not told any more.
    pub(crate) fn forget(&mut self, slot: usize) {
        let entries = self.places.iter_mut().flat_map(|place| &mut place.entry);
        entries.for_each(|entry| entry.stack.retain(|(at, _)| usize::from(*at) != slot));
    }

    /// The numbers of all entries.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let taken = self.places.iter().filter(|place| place.entry.is_some());
        taken.map(|place| place.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_never_return_and_sums_hold(steps in prop::collection::vec((any::<bool>(), 0_usize..64), 1..400)) {
            let mut entries = Entries::default();
            let mut ever = BTreeSet::new();
            let mut held: Vec<u64> = Vec::new();
            for (insert, pick) in steps {
                if insert || held.is_empty() {
                    let number = entries.insert(Entry::new(None));
                    entries.charge(number, 10);
                    entries.charge(number, 10);
                    prop_assert!(ever.insert(number), "{number} came twice");
                    held.push(number);
                } else {
                    // Often all of them, so that the table starts anew in between.
                    let left = if pick < 8 { 0 } else { held.len() - 1 };
                    for number in held.drain(left..) {
                        prop_assert!(entries.remove(number).is_some());
                        prop_assert!(entries.remove(number).is_none());
                    }
                }
                entries.rest();
                prop_assert_eq!(entries.business(), held.len());
                prop_assert_eq!(entries.weight(), 10 * held.len());
                prop_assert_eq!(entries.is_empty(), held.is_empty());
            }
        }
    }
}
