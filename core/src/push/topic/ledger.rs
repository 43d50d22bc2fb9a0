//! What of each partition is unsettled, and up to where it is done. Knows no broker and no link.
//!
//! What is known of a partition outlives it here for a while. If it comes back, and is read again from where its group has
//! got to, the records that are settled are passed over, and those that are under way go on.

mod assignment;
mod receiver;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use linkgate_filter::Fault;
use linkgate_filter::broker::Partition;

use self::assignment::{Assignment, Entry};
pub(super) use self::receiver::{Receiver, Stage};
use super::record::History;
use crate::push::message::Push;

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
    /// When it was first sent, or could have been; later by as long as it has rested.
    pub(super) since: Instant,
    /// Since when its partition is not here, or its record not read again: nothing is sent or said of it.
    pub(super) rests: Option<Instant>,
    /// Why it was last not taken.
    pub(super) refused: Option<Box<Fault>>,
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

    /// Its record has been read again. The time of the rest counts for nothing but its age.
    fn go_on(&mut self, now: Instant) {
        if let Some(rests) = self.rests.take() {
            self.since += now.saturating_duration_since(rests);
            self.receivers.iter_mut().for_each(|own| own.seen(now));
        }
    }

    /// Whether a receiver is at such a stage.
    pub(super) fn any(&self, stage: fn(&Stage) -> bool) -> bool {
        self.receivers.iter().any(|own| stage(&own.stage))
    }
}

/// What may be unsettled of one partition, and remembered of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// Records that are known again when they are read again.
    pub(super) remembered: usize,
    /// How long what is known of a partition is kept while it is not here.
    pub(super) kept: Duration,
}

/// Whether a record that has been read is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It has not been here before.
    New,
    /// It is under way: what is unsettled of it goes on.
    Again(Place),
    /// It is settled, or what is to be said of it is being written.
    Known,
    /// Another record was in its place: the log began anew, and so does what is known of it.
    Other,
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

    /// The node has a partition from now on, and reads it from where the group has got to. What was under way of it rests
    /// until its record is read again.
    pub(super) fn assign(&mut self, partition: Partition, now: Instant) {
        let Some(known) = self.assignment(&partition) else {
            return self.begin(partition);
        };
        self.rest(known, now);
        if let Some(own) = self.assignments.get_mut(&known) {
            own.come_back();
        }
    }

    fn begin(&mut self, partition: Partition) {
        self.given += 1;
        self.current.insert(partition.clone(), self.given);
        let own = Assignment::new(partition);
        self.assignments.insert(self.given, own);
    }

    /// The node does not have a partition any more. What is known of it is kept, in case it comes back.
    pub(super) fn leave(&mut self, assignment: u64, now: Instant) {
        self.rest(assignment, now);
        if let Some(own) = self.assignments.get_mut(&assignment) {
            own.left = Some(now);
        }
        if !self.is_current(assignment) {
            self.forget(assignment);
        }
    }

    /// The partition's log began anew: what comes from now on has nothing to do with what came before. What is under way
    /// goes on, but moves no offset. Whether the partition was paused.
    pub(super) fn begin_anew(&mut self, partition: &Partition) -> bool {
        let before = self.assignment(partition);
        self.begin(partition.clone());
        let Some(before) = before else { return false };
        let Some(own) = self.assignments.get_mut(&before) else {
            return false;
        };
        let was_paused = own.end();
        if own.entries.is_empty() {
            self.forget(before);
        }
        was_paused
    }

    /// Forgets what is known of partitions that have not come back in time.
    pub(super) fn sweep(&mut self, now: Instant) {
        let kept = self.bounds.kept;
        let is_over = |own: &Assignment| own.left.is_some_and(|left| left + kept <= now);
        let over = self.assignments.iter().filter(|(_, own)| is_over(own));
        let over: Vec<_> = over.map(|(&assignment, _)| assignment).collect();
        for assignment in over {
            self.forget(assignment);
        }
    }

    /// When there is something to forget.
    pub(super) fn next_sweep(&self) -> Option<Instant> {
        let left = self.assignments.values().filter_map(|own| own.left);
        Some(left.min()? + self.bounds.kept)
    }

    fn rest(&mut self, assignment: u64, now: Instant) {
        let Some(own) = self.assignments.get_mut(&assignment) else {
            return;
        };
        for (offset, at) in own.rest(now) {
            self.timers.remove(&(at, Place { assignment, offset }));
        }
    }

    fn is_current(&self, assignment: u64) -> bool {
        let own = self.assignments.get(&assignment);
        own.is_some_and(|own| self.current.get(&own.partition) == Some(&assignment))
    }

    /// The current assignment of a partition.
    pub(super) fn assignment(&self, partition: &Partition) -> Option<u64> {
        self.current.get(partition).copied()
    }

    /// The partition of an assignment, if it is here and as it was.
    pub(super) fn partition(&self, assignment: u64) -> Option<&Partition> {
        let own = self.assignments.get(&assignment)?;
        (own.left.is_none() && self.is_current(assignment)).then_some(&own.partition)
    }

    /// Nothing is known of the assignment any more.
    fn forget(&mut self, assignment: u64) {
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

    /// A record has been read: is it known? `print` tells records apart. `None` if the partition is not here.
    pub(super) fn meet(&mut self, partition: &Partition, offset: i64, print: u64) -> Option<Met> {
        let assignment = self.assignment(partition)?;
        let own = self.assignments.get_mut(&assignment)?;
        if own.left.is_some() {
            return None;
        }
        Some(match own.meet(offset, print, self.bounds.remembered) {
            assignment::Met::New => Met::New,
            assignment::Met::Again => Met::Again(Place { assignment, offset }),
            assignment::Met::Known => Met::Known,
            assignment::Met::Other => Met::Other,
        })
    }

    /// Notes a record that is new; `hold` is `None` if there is nothing to be settled by links. `None` if the partition is
    /// not here.
    pub(super) fn take(
        &mut self,
        partition: &Partition,
        offset: i64,
        hold: Option<Hold>,
    ) -> Option<Place> {
        let assignment = self.assignment(partition)?;
        let own = self.assignments.get_mut(&assignment)?;
        let weight = hold.as_ref().map_or(256, Hold::weight);
        own.insert(offset, weight, hold);
        Some(Place { assignment, offset })
    }

    /// Up to where all is done of what has been read of an assignment.
    pub(super) fn done(&self, assignment: u64) -> Option<i64> {
        self.assignments.get(&assignment)?.done()
    }

    fn entry(&mut self, place: Place) -> Option<&mut Entry> {
        let own = self.assignments.get_mut(&place.assignment)?;
        own.entries.get_mut(&place.offset)
    }

    /// What rests goes on: its record has been read again.
    pub(super) fn go_on(&mut self, place: Place, now: Instant) {
        if let Some(own) = self.assignments.get_mut(&place.assignment) {
            own.go_on(place.offset, now);
        }
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

    /// All is written that is to be said of a record. Whether its offset held up others, so that more is done now.
    pub(super) fn finish(&mut self, place: Place) -> bool {
        let Some(own) = self.assignments.get_mut(&place.assignment) else {
            return false;
        };
        own.remove(place.offset);
        let has_moved = own.done().is_some_and(|done| done > place.offset);
        if own.entries.is_empty() && !self.is_current(place.assignment) {
            self.forget(place.assignment);
        }
        has_moved
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
        // What rests has to be read again first.
        let full = full && own.resting == 0;
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
                if let Some(hold) = entry.hold.as_ref().filter(|hold| hold.rests.is_none()) {
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

    /// The pushes of an assignment, of all of them for `None`, that are not being written off and do not rest.
    pub(super) fn holds(&self, of: Option<u64>) -> Vec<Place> {
        let wanted = |(assignment, _): &(&u64, &Assignment)| of.is_none_or(|of| of == **assignment);
        let places = self.assignments.iter().filter(wanted);
        let places = places.flat_map(|(&assignment, own)| {
            let held = own.entries.iter().filter(|(_, entry)| entry.is_open());
            held.map(move |(&offset, _)| Place { assignment, offset })
        });
        places.collect()
    }

    /// Records that are unsettled and do not rest: of an assignment, or all.
    pub(super) fn unsettled(&self, of: Option<u64>) -> usize {
        let wanted = |(assignment, _): &(&u64, &Assignment)| of.is_none_or(|of| of == **assignment);
        let own = self.assignments.iter().filter(wanted);
        own.map(|(_, own)| own.entries.len() - own.resting).sum()
    }

    /// All records of which something is still to be said.
    pub(super) fn len(&self) -> usize {
        self.assignments.values().map(|own| own.entries.len()).sum()
    }
}

#[cfg(test)]
mod tests;
