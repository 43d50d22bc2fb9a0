//! What is known of one partition.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use linkgate_filter::broker::Partition;

use super::Hold;

pub(super) struct Assignment {
    pub(super) partition: Partition,
    /// The first record read since the partition came, or came back, and behind the last one.
    read: Option<(i64, i64)>,
    pub(super) entries: BTreeMap<i64, Entry>,
    /// Of the latest records taken, in the order of their offsets, what tells them from others.
    prints: VecDeque<(i64, u64)>,
    pub(super) bytes: usize,
    pub(super) paused: bool,
    /// How many of `entries` rest.
    pub(super) resting: usize,
    /// Since when the partition is not here.
    pub(super) left: Option<Instant>,
}

/// A record whose offset cannot be passed yet.
pub(super) struct Entry {
    pub(super) weight: usize,
    /// `None`: what is to be said of it is being written.
    pub(super) hold: Option<Hold>,
    pub(super) timer: Option<Instant>,
}

impl Entry {
    /// Whether something is still to happen to the push, and here.
    pub(super) fn is_open(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.rests.is_none())
    }

    fn rests(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.rests.is_some())
    }
}

/// As [`super::Met`].
pub(super) enum Met {
    New,
    Again,
    Known,
    Other,
}

impl Assignment {
    pub(super) fn new(partition: Partition) -> Self {
        Self {
            partition,
            read: None,
            entries: BTreeMap::new(),
            prints: VecDeque::new(),
            bytes: 0,
            paused: false,
            resting: 0,
            left: None,
        }
    }

    /// Lets all that is open rest; gives the times at which it was to be looked at.
    pub(super) fn rest(&mut self, now: Instant) -> Vec<(i64, Instant)> {
        let mut timers = Vec::new();
        for (&offset, entry) in &mut self.entries {
            let Some(hold) = &mut entry.hold else {
                continue;
            };
            self.resting += usize::from(hold.rests.is_none());
            hold.rests.get_or_insert(now);
            timers.extend(entry.timer.take().map(|at| (offset, at)));
        }
        timers
    }

    pub(super) fn come_back(&mut self) {
        self.left = None;
        self.read = None;
        self.paused = false;
    }

    /// Nothing more is read of it. Whether it was paused.
    pub(super) fn end(&mut self) -> bool {
        self.drop_resting(i64::MAX);
        self.prints = VecDeque::new();
        self.read = None;
        std::mem::replace(&mut self.paused, false)
    }

    pub(super) fn go_on(&mut self, offset: i64, now: Instant) {
        let hold = self
            .entries
            .get_mut(&offset)
            .and_then(|own| own.hold.as_mut());
        if let Some(hold) = hold {
            self.resting -= usize::from(hold.rests.is_some());
            hold.go_on(now);
        }
    }

    /// What rests and was passed over: another node has settled it, or it is in the log no more.
    fn drop_resting(&mut self, before: i64) {
        if self.resting == 0 {
            return;
        }
        let over = self.entries.range(..before);
        let over = over.filter(|(_, entry)| entry.rests());
        let over: Vec<_> = over.map(|(&offset, _)| offset).collect();
        for offset in over {
            self.remove(offset);
        }
    }

    pub(super) fn meet(&mut self, offset: i64, print: u64, remembered: usize) -> Met {
        self.drop_resting(offset);
        let known = self.prints.binary_search_by_key(&offset, |(own, _)| *own);
        match known {
            Ok(known) if self.prints[known].1 != print => return Met::Other,
            Err(at) if at == self.prints.len() => {
                self.prints.push_back((offset, print));
                if self.prints.len() > remembered {
                    self.prints.pop_front();
                }
            }
            // One that is forgotten is like new.
            _ => {}
        }
        let from = self.read.map_or(offset, |(from, _)| from);
        self.read = Some((from, offset + 1));
        match (self.entries.get(&offset), known) {
            (Some(entry), _) if entry.rests() => Met::Again,
            (Some(_), _) | (None, Ok(_)) => Met::Known,
            (None, Err(_)) => Met::New,
        }
    }

    pub(super) fn insert(&mut self, offset: i64, weight: usize, hold: Option<Hold>) {
        self.bytes += weight;
        let entry = Entry {
            weight,
            hold,
            timer: None,
        };
        self.entries.insert(offset, entry);
    }

    pub(super) fn remove(&mut self, offset: i64) {
        if let Some(entry) = self.entries.remove(&offset) {
            self.bytes -= entry.weight;
            self.resting -= usize::from(entry.rests());
        }
    }

    /// Up to where all is done of what has been read.
    pub(super) fn done(&self) -> Option<i64> {
        let (from, read) = self.read?;
        let first = self.entries.range(from..read).next();
        Some(first.map_or(read, |(first, _)| *first))
    }
}
