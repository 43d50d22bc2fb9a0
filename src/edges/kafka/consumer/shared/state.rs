//! What is known of the partitions that are held, and the records of them that are ready. Nothing here wakes the thread.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use linkgate_filter::broker::{Arrival, Event, Partition};

/// What a record is charged beside its bytes.
const EACH: usize = 256;

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
    pub(super) reader: Option<Waker>,
}

/// A partition from when it is assigned until it is taken away.
#[derive(Default)]
pub(super) struct Held {
    pub(super) ready: VecDeque<Arrival>,
    /// The first offset that was read: what is done lies behind it.
    pub(super) first: Option<i64>,
    /// The offset to hand out next; everything before it has been handed out.
    pub(super) position: i64,
    /// The offset to poll next.
    pub(super) polled: i64,
    /// Everything before this is done; and whether librdkafka has been told.
    pub(super) done: Option<i64>,
    pub(super) told: bool,
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
    pub(super) fn wants(&self, stalled: bool) -> bool {
        !self.paused && !stalled && !self.revoked
    }

    /// Where to read on, if anything has been read.
    pub(super) fn target(&self) -> Option<i64> {
        self.first.map(|_| match self.rewind {
            true => self.position,
            false => self.polled,
        })
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
