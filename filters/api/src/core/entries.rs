//! The unsettled messages of a chain: for each a stack of the filters that want to hear its outcome.

use smallvec::SmallVec;

use crate::receipt::{Receipt, Token};

/// One unsettled message. Its place here is the place that its outcome has reserved in the mailbox.
pub(crate) struct Entry {
    /// Slots to be told, the last one first.
    pub(crate) stack: SmallVec<[(u16, Token); 4]>,
    /// Who gave the message into the chain with a receipt of its own, and is told last.
    pub(crate) parent: Option<Receipt>,
    /// What the message weighs in the chain's bounds.
    pub(crate) weight: u32,
    /// Counts as a business message on its way upstream.
    pub(crate) business: bool,
    /// Has left for the trunk.
    pub(crate) in_trunk: bool,
}

struct Place {
    generation: u32,
    entry: Option<Entry>,
}

/// A table of entries whose numbers are never used twice, so that a late outcome cannot meet a newer message.
#[derive(Default)]
pub(crate) struct Entries {
    places: Vec<Place>,
    free: Vec<u32>,
    business: usize,
    weight: usize,
    in_trunk: usize,
}

impl Entries {
    pub(crate) fn insert(&mut self, entry: Entry) -> u64 {
        if entry.business {
            self.business += 1;
            self.weight += entry.weight as usize;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.places.push(Place {
                    generation: 0,
                    entry: None,
                });
                (self.places.len() - 1) as u32
            }
        };
        let place = &mut self.places[index as usize];
        place.entry = Some(entry);
        u64::from(place.generation) << 32 | u64::from(index)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let place = self.places.get_mut(number as u32 as usize)?;
        if place.generation == (number >> 32) as u32 {
            place.entry.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Entry> {
        self.get_mut(number)?;
        let place = &mut self.places[number as u32 as usize];
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(number as u32);
        if entry.business {
            self.business -= 1;
            self.weight -= entry.weight as usize;
        }
        if entry.in_trunk {
            self.in_trunk -= 1;
        }
        if self.free.len() == self.places.len() && self.places.len() > Self::KEEP {
            // A burst is over. Numbers restart, so keep the generations unique.
            self.shrink();
        }
        Some(entry)
    }

    /// Places kept when a chain is idle.
    const KEEP: usize = 8;

    fn shrink(&mut self) {
        let newest = self
            .places
            .iter()
            .map(|place| place.generation)
            .max()
            .unwrap_or(0);
        self.places.truncate(Self::KEEP);
        self.places.shrink_to_fit();
        for place in &mut self.places {
            place.generation = newest;
        }
        self.free = (0..Self::KEEP as u32).rev().collect();
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

    /// The numbers of all entries.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let numbered = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, place)| place.entry.is_some());
        numbered
            .map(|(index, place)| u64::from(place.generation) << 32 | index as u64)
            .collect()
    }
}
