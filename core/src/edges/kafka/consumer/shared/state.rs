//! What is known of the partitions that are held, and the records of them that are ready. Nothing here wakes the thread.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use linkgate_filter::broker::{Arrival, Event, Partition, Reset};
use tokio::time::Instant;

/// What a record is charged beside its bytes.
const EACH: usize = 256;

/// How long the brokers have to say that a group's offset is lowered, until they are asked again.
const LOWER_AGAIN: Duration = Duration::from_secs(2);

/// Gaps in the offsets of a partition are looked into no more often than that.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct State {
    pub(super) events: VecDeque<Event>,
    pub(super) held: HashMap<Partition, Held>,
    /// Partitions with records that are ready, in turn.
    pub(super) turns: VecDeque<Partition>,
    pub(super) bytes: usize,
    /// There was more to read than `read_ahead`; until half of it is taken.
    pub(super) stalled: bool,
    /// librdkafka's words for its latest error.
    pub(super) words: Option<String>,
    /// The group has taken this member since that was last asked.
    pub(super) joined: bool,
    /// The group has shared the partitions out anew, and nobody has counted those of others since.
    pub(super) uncounted: bool,
    /// The partitions that others have, as the reader was told last.
    pub(super) elsewhere: usize,
    pub(super) rung: bool,
    pub(super) leaving: bool,
    /// The consumer is of no use and has to be begun anew.
    pub(super) spoilt: bool,
    pub(super) reader: Option<Waker>,
}

/// A partition from when it is assigned until it is taken away.
pub(super) struct Held {
    pub(super) ready: VecDeque<Arrival>,
    /// Where it was begun, or the first offset that was read: what is done lies behind it.
    first: i64,
    /// Whether that is known yet.
    known: bool,
    /// The offset to hand out next; everything before it has been handed out.
    pub(super) position: i64,
    /// The offset to poll next.
    pub(super) polled: i64,
    /// Everything before this is done; and whether librdkafka has been told.
    done: Option<i64>,
    told: bool,
    /// The group's offset is beyond the end of the log, and is lowered by asking for it: when next.
    lower: Option<Instant>,
    /// When it was last found out what a gap in the offsets is.
    looked: Option<Instant>,
    /// The reader wants no records.
    pub(super) paused: bool,
    /// What has been polled beyond `position` was dropped and has to be read again.
    pub(super) rewind: bool,
    /// librdkafka has been told to pause.
    pub(super) halted: bool,
    /// On its way to another member: nothing more is read.
    pub(super) revoked: bool,
}

impl Held {
    /// Begun at an offset, or for `None` at the oldest record; `say`: the group is to have this offset, whatever comes.
    pub(super) fn at(start: Option<i64>, say: bool) -> Self {
        let known = start.is_some();
        let start = start.unwrap_or_default();
        Self {
            ready: VecDeque::new(),
            first: start,
            known,
            position: start,
            polled: start,
            done: say.then_some(start),
            told: !say,
            lower: None,
            looked: None,
            paused: false,
            rewind: false,
            halted: false,
            revoked: false,
        }
    }

    pub(super) fn wants(&self, stalled: bool) -> bool {
        !self.paused && !stalled && !self.revoked
    }

    /// Where to read on, if that is known.
    pub(super) fn target(&self) -> Option<i64> {
        self.known.then_some(match self.rewind {
            true => self.position,
            false => self.polled,
        })
    }

    /// The first record of a partition that was begun at its oldest.
    pub(super) fn note_first(&mut self, offset: i64) {
        if !std::mem::replace(&mut self.known, true) {
            (self.first, self.position, self.polled) = (offset, offset, offset);
        }
    }

    /// Everything before `offset` is done.
    pub(super) fn note_done(&mut self, offset: i64) {
        // What an earlier assignment of the same partition has left, or an earlier log, says nothing here.
        if offset > self.done.unwrap_or(self.first) && offset <= self.position {
            self.done = Some(offset);
            self.told = false;
        }
    }

    /// What comes lies before what has been read: the log began anew. Gives the offset that was to come, if so.
    pub(super) fn falls(&mut self, offset: i64) -> Option<i64> {
        let expected = self.target()?;
        if offset >= expected {
            return None;
        }
        (self.first, self.position, self.polled) = (offset, offset, offset);
        self.done = Some(offset);
        self.told = false;
        self.lower = Some(Instant::now());
        Some(expected)
    }

    /// The offset that was to come, if what comes lies behind it and it is time to find out why: most gaps are of transactions
    /// and compaction, and of records that are there no more.
    pub(super) fn gap(&mut self, offset: i64, now: Instant) -> Option<i64> {
        let expected = self.target().filter(|expected| offset > *expected)?;
        if self.looked.is_some_and(|at| now < at + LOOK_AGAIN) {
            return None;
        }
        self.looked = Some(now);
        Some(expected)
    }

    /// Up to where the group is to be set back, if that is still to be said.
    pub(super) fn lower(&mut self, now: Instant) -> Option<i64> {
        self.lower.filter(|at| *at <= now)?;
        self.lower = Some(now + LOWER_AGAIN);
        self.done
    }

    /// The brokers have noted an offset.
    pub(super) fn noted(&mut self, offset: i64) {
        if offset <= self.position {
            self.lower = None;
        }
    }

    /// What has been said to be done at all, and whether the group has to be set back to it.
    pub(super) fn last_word(&self) -> Option<(i64, bool)> {
        Some((self.done?, self.lower.is_some()))
    }

    pub(super) fn take_done(&mut self) -> Option<i64> {
        if self.told {
            return None;
        }
        self.told = true;
        self.done
    }
}

impl State {
    /// Notes that the log of a partition began anew, if `offset` shows it. What was read of the old one goes with it.
    pub(super) fn note_fall(&mut self, partition: &Partition, offset: i64) {
        let Some(held) = self.held.get_mut(partition) else {
            return;
        };
        if let Some(expected) = held.falls(offset) {
            self.forget(partition);
            self.events.push_back(Event::Reset(Reset {
                partition: partition.clone(),
                expected,
                found: offset,
            }));
            self.wake_reader();
        }
    }

    /// Notes that records up to `found` are there no more that were to come from `expected` on.
    pub(super) fn note_loss(&mut self, partition: &Partition, expected: i64, found: i64) {
        self.events.push_back(Event::Reset(Reset {
            partition: partition.clone(),
            expected,
            found,
        }));
        self.wake_reader();
    }

    pub(super) fn next_record(&mut self) -> Option<Arrival> {
        let partition = self.turns.pop_front()?;
        let held = self.held.get_mut(&partition)?;
        let arrival = held.ready.pop_front()?;
        held.position = arrival.offset + 1;
        if !held.ready.is_empty() {
            self.turns.push_back(partition);
        }
        self.bytes -= weight(&arrival);
        Some(arrival)
    }

    /// Drops what is ready of a partition.
    pub(super) fn forget(&mut self, partition: &Partition) {
        if let Some(held) = self.held.get_mut(partition) {
            self.bytes -= held.ready.iter().map(weight).sum::<usize>();
            held.ready.clear();
            self.turns.retain(|other| other != partition);
        }
    }

    /// Whether what was too much has just become little enough to read on.
    pub(super) fn is_relieved(&mut self, read_ahead: usize) -> bool {
        let relieved = self.stalled && self.bytes <= read_ahead / 2;
        self.stalled &= !relieved;
        relieved
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

pub(super) fn names(held: &HashMap<Partition, Held>) -> Vec<Partition> {
    held.keys().cloned().collect()
}

pub(super) fn weight(arrival: &Arrival) -> usize {
    let headers = arrival.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    EACH + arrival.key.len() + arrival.payload.len() + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        Partition {
            topic: "t".into(),
            number: 0,
        }
    }

    fn held_at(start: i64) -> Held {
        Held::at(Some(start), false)
    }

    #[test]
    fn what_is_done_falls_with_the_log_and_not_otherwise() {
        let mut held = held_at(10);
        held.position = 20;
        held.polled = 25;
        held.note_done(20);
        assert_eq!(held.take_done(), Some(20));
        held.note_done(15);
        assert_eq!(held.take_done(), None, "it never falls by itself");
        assert_eq!(held.falls(25), None);
        assert_eq!(held.falls(30), None, "topics may have holes");

        assert_eq!(held.falls(0), Some(25));
        assert_eq!(held.take_done(), Some(0));
        let now = Instant::now();
        assert_eq!(held.lower(now), Some(0));
        assert_eq!(held.lower(now), None, "not again so soon");
        held.note_done(20);
        assert_eq!(held.take_done(), None, "this is of the old log");
        // A word on the old offset may still be on its way.
        held.noted(20);
        assert_eq!(held.lower(now + LOWER_AGAIN), Some(0));
        held.noted(0);
        assert_eq!(held.lower(now + LOWER_AGAIN * 2), None);
        held.position = 3;
        held.note_done(3);
        assert_eq!(held.take_done(), Some(3));
    }

    #[test]
    fn gaps_are_looked_into_now_and_then() {
        let mut held = held_at(10);
        let now = Instant::now();
        assert_eq!(held.gap(10, now), None);
        assert_eq!(held.gap(12, now), Some(10));
        assert_eq!(held.gap(12, now), None, "not again so soon");
        assert_eq!(held.gap(12, now + LOOK_AGAIN), Some(10));
        assert_eq!(
            Held::at(None, false).gap(7, now),
            None,
            "from the oldest on"
        );
    }

    #[test]
    fn a_paused_partition_notices_too_that_its_log_began_anew() {
        let mut held = held_at(0);
        (held.position, held.polled) = (5, 9);
        (held.paused, held.rewind) = (true, true);
        assert_eq!(held.falls(5), None, "it is read again from there");
        assert_eq!(held.falls(2), Some(5));
        assert_eq!(held.target(), Some(2));
    }

    #[test]
    fn who_reads_hears_of_it_once_and_gets_nothing_of_the_old_log() {
        let mut state = State::default();
        state.held.insert(partition(), held_at(7));
        state.note_fall(&partition(), 7);
        assert!(state.events.is_empty());
        state.note_fall(&partition(), 3);
        state.note_fall(&partition(), 3);
        let Some(Event::Reset(reset)) = state.events.pop_front() else {
            panic!("nothing is said of it");
        };
        assert_eq!((reset.expected, reset.found), (7, 3));
        assert!(state.events.is_empty());
    }
}
