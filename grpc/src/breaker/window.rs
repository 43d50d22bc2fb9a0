//! What the last while has come to. All that fails of one user is one failure.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Counts of the last while, in tenths of it.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Tenth>);

#[derive(Debug)]
struct Tenth {
    since: Instant,
    all: u32,
    failed: u32,
    /// Whose messages failed.
    users: Vec<u64>,
}

impl Window {
    /// Users that are remembered; with more of them nobody is to blame but the endpoint.
    const REMEMBERED: usize = 1024;

    pub(super) fn succeeded(&mut self, now: Instant, length: Duration) {
        let tenth = self.tenth(now, length);
        tenth.all = tenth.all.saturating_add(1);
    }

    /// Counts a failure, unless one of these users has failed before. Answers whether it counts.
    pub(super) fn failed(&mut self, users: &BTreeSet<u64>, now: Instant, length: Duration) -> bool {
        self.tenth(now, length);
        let known = || self.0.iter().flat_map(|tenth| &tenth.users);
        if known().any(|user| users.contains(user)) {
            return false;
        }
        let room = Self::REMEMBERED.saturating_sub(known().count());
        let tenth = self.tenth(now, length);
        tenth.all = tenth.all.saturating_add(1);
        tenth.failed = tenth.failed.saturating_add(1);
        tenth.users.extend(users.iter().take(room));
        true
    }

    /// All tries that count, and those of them that failed.
    pub(super) fn counts(&self) -> (u32, u32) {
        self.0.iter().fold((0, 0), |(all, failed), tenth| {
            (
                all.saturating_add(tenth.all),
                failed.saturating_add(tenth.failed),
            )
        })
    }

    /// The current one.
    fn tenth(&mut self, now: Instant, length: Duration) -> &mut Tenth {
        while self.0.front().is_some_and(|t| t.since + length <= now) {
            self.0.pop_front();
        }
        let fresh = || Tenth {
            since: now,
            all: 0,
            failed: 0,
            users: Vec::new(),
        };
        match self.0.pop_back() {
            Some(last) if last.since + length / 10 > now => self.0.push_back(last),
            Some(last) => self.0.extend([last, fresh()]),
            None => self.0.push_back(fresh()),
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}
