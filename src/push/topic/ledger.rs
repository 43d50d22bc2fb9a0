//! What of each partition is unsettled, and up to where it is done. Knows no broker and no link.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use linkgate_filter::broker::Partition;

use super::record::History;
use crate::push::message::Push;
use crate::push::outcome::ReceiverOutcome;

/// Where a record is: in a partition for as long as this node has it, at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Never used twice: what is still said of a partition that was taken away does not meet its successor.
    pub(super) assignment: u64,
    pub(super) offset: i64,
}

/// A push that is not settled for all of its receivers.
pub(super) struct Hold {
    pub(super) push: Push,
    pub(super) receivers: Vec<Receiver>,
    pub(super) history: History,
    /// When this node has read it.
    pub(super) taken: Instant,
    /// When it was first sent, or could have been.
    pub(super) since: Instant,
}

/// One of those a push is for.
pub(super) struct Receiver {
    pub(super) user: String,
    pub(super) stage: Stage,
    /// It was sent to the user before, and may have arrived.
    pub(super) sent: bool,
}

/// How far a push is with one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be sent.
    Open,
    /// Under way.
    Sent,
    /// Settled.
    Ended(ReceiverOutcome),
}

impl Hold {
    fn weight(&self) -> usize {
        const SELF: usize = 256;
        let receivers = self.receivers.iter().map(|own| 64 + own.user.len());
        SELF + self.push.key.len() + self.push.body.len() + receivers.sum::<usize>()
    }

    /// How long nodes have had it, each by its own clock.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let here = now.saturating_duration_since(self.taken);
        self.history.age.saturating_add(here)
    }

    /// How long it has waited for users who are not here.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let here = now.saturating_duration_since(self.since);
        self.history.waited.saturating_add(here)
    }

    /// Whether a receiver is at such a stage.
    pub(super) fn any(&self, stage: fn(&Stage) -> bool) -> bool {
        self.receivers.iter().any(|own| stage(&own.stage))
    }
}

/// What may be unsettled of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// All partitions this node has.
pub(super) struct Ledger {
    bounds: Bounds,
    assignments: BTreeMap<u64, Assignment>,
    current: HashMap<Partition, u64>,
    given: u64,
    /// When holds are to be looked at again.
    timers: BTreeSet<(Instant, Place)>,
}

struct Assignment {
    partition: Partition,
    /// Behind the last record taken.
    next: i64,
    entries: BTreeMap<i64, Entry>,
    bytes: usize,
    paused: bool,
}

/// A record whose offset cannot be passed yet.
struct Entry {
    weight: usize,
    /// `None`: what is to be said of it is being written.
    hold: Option<Hold>,
    timer: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            assignments: BTreeMap::new(),
            current: HashMap::new(),
            given: 0,
            timers: BTreeSet::new(),
        }
    }

    /// The node has a partition from now on.
    pub(super) fn assign(&mut self, partition: Partition) {
        self.given += 1;
        if let Some(stale) = self.current.insert(partition.clone(), self.given) {
            self.forget(stale);
        }
        self.assignments.insert(
            self.given,
            Assignment {
                partition,
                next: 0,
                entries: BTreeMap::new(),
                bytes: 0,
                paused: false,
            },
        );
    }

    /// The current assignment of a partition.
    pub(super) fn assignment(&self, partition: &Partition) -> Option<u64> {
        self.current.get(partition).copied()
    }

    pub(super) fn partition(&self, assignment: u64) -> Option<&Partition> {
        Some(&self.assignments.get(&assignment)?.partition)
    }

    /// The partition is another node's.
    pub(super) fn forget(&mut self, assignment: u64) {
        let Some(gone) = self.assignments.remove(&assignment) else {
            return;
        };
        if self.current.get(&gone.partition) == Some(&assignment) {
            self.current.remove(&gone.partition);
        }
        for (offset, entry) in gone.entries {
            let place = Place { assignment, offset };
            if let Some(at) = entry.timer {
                self.timers.remove(&(at, place));
            }
        }
    }

    /// Notes a record; `hold` is `None` if there is nothing to be settled by links. `None` if the partition is not here.
    pub(super) fn take(
        &mut self,
        partition: &Partition,
        offset: i64,
        hold: Option<Hold>,
    ) -> Option<Place> {
        let assignment = self.assignment(partition)?;
        let own = self.assignments.get_mut(&assignment)?;
        own.next = own.next.max(offset + 1);
        let weight = hold.as_ref().map_or(256, Hold::weight);
        own.bytes += weight;
        let entry = Entry {
            weight,
            hold,
            timer: None,
        };
        own.entries.insert(offset, entry);
        Some(Place { assignment, offset })
    }

    fn entry(&mut self, place: Place) -> Option<&mut Entry> {
        let own = self.assignments.get_mut(&place.assignment)?;
        own.entries.get_mut(&place.offset)
    }

    /// The push at `place`, unless it is being written off.
    pub(super) fn hold(&mut self, place: Place) -> Option<&mut Hold> {
        self.entry(place)?.hold.as_mut()
    }

    /// Takes the push out, to write down what became of it.
    pub(super) fn write_off(&mut self, place: Place) -> Option<Hold> {
        self.look_at(place, None);
        self.entry(place)?.hold.take()
    }

    /// Has the push at `place` looked at again at a time, and no other.
    pub(super) fn look_at(&mut self, place: Place, at: Option<Instant>) {
        let Some(entry) = self.entry(place) else {
            return;
        };
        let before = std::mem::replace(&mut entry.timer, at);
        if let Some(before) = before {
            self.timers.remove(&(before, place));
        }
        if let Some(at) = at {
            self.timers.insert((at, place));
        }
    }

    /// All is written that is to be said of a record. Gives its partition, and the offset before which all is done, if
    /// it has moved.
    pub(super) fn finish(&mut self, place: Place) -> Option<(&Partition, Option<i64>)> {
        let own = self.assignments.get_mut(&place.assignment)?;
        let entry = own.entries.remove(&place.offset)?;
        own.bytes -= entry.weight;
        let done = match own.entries.first_key_value() {
            Some((first, _)) if *first < place.offset => None,
            Some((first, _)) => Some(*first),
            None => Some(own.next),
        };
        Some((&own.partition, done))
    }

    /// When the next push is to be looked at.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The pushes to be looked at by now, in the order they came.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Place> {
        let mut due = Vec::new();
        while let Some((at, place)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.look_at(place, None);
            due.push(place);
        }
        due.sort_unstable();
        due
    }

    /// Pauses an assignment that has all it may; says whether it did so just now.
    pub(super) fn pause_if_full(&mut self, assignment: u64) -> bool {
        let bounds = self.bounds;
        let Some(own) = self.assignments.get_mut(&assignment) else {
            return false;
        };
        let full = own.entries.len() >= bounds.records || own.bytes >= bounds.bytes;
        full && !std::mem::replace(&mut own.paused, true)
    }

    /// Opens a paused assignment in which there is room again; says whether it did so just now.
    pub(super) fn resume_if_room(&mut self, assignment: u64) -> bool {
        let bounds = self.bounds;
        let Some(own) = self.assignments.get_mut(&assignment) else {
            return false;
        };
        let room = own.entries.len() <= bounds.records / 4 * 3 && own.bytes <= bounds.bytes / 4 * 3;
        room && std::mem::replace(&mut own.paused, false)
    }

    /// Which pushes of paused assignments have to go to make room: the first ones among those older than `min_hold`. And
    /// when to ask again, if more have to.
    pub(super) fn crowd(&self, now: Instant, min_hold: Duration) -> (Vec<Place>, Option<Instant>) {
        let (mut crowd, mut again) = (Vec::new(), None);
        for (&assignment, own) in self.assignments.iter().filter(|(_, own)| own.paused) {
            let (mut records, mut bytes) = (own.entries.len(), own.bytes);
            for (&offset, entry) in &own.entries {
                if records <= self.bounds.records / 4 * 3 && bytes <= self.bounds.bytes / 4 * 3 {
                    break;
                }
                if let Some(hold) = &entry.hold {
                    let at = hold.since + min_hold;
                    if at > now {
                        again = Some(again.map_or(at, |other: Instant| other.min(at)));
                        continue;
                    }
                    crowd.push(Place { assignment, offset });
                }
                records -= 1;
                bytes -= entry.weight;
            }
        }
        (crowd, again)
    }

    /// The pushes of an assignment, of all of them for `None`, that are not being written off.
    pub(super) fn holds(&self, of: Option<u64>) -> Vec<Place> {
        let wanted = |(assignment, _): &(&u64, &Assignment)| of.is_none_or(|of| of == **assignment);
        let places = self.assignments.iter().filter(wanted);
        let places = places.flat_map(|(&assignment, own)| {
            let held = own.entries.iter().filter(|(_, entry)| entry.hold.is_some());
            held.map(move |(&offset, _)| Place { assignment, offset })
        });
        places.collect()
    }

    /// Records whose offsets cannot be passed: of an assignment, or all.
    pub(super) fn unsettled(&self, of: Option<u64>) -> usize {
        let wanted = |(assignment, _): &(&u64, &Assignment)| of.is_none_or(|of| of == **assignment);
        let own = self.assignments.iter().filter(wanted);
        own.map(|(_, own)| own.entries.len()).sum()
    }
}

#[cfg(test)]
mod tests;
