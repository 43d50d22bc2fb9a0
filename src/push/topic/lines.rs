//! Pushes that wait for their user, who is not here or has no room: those of a user in a line, in the order they came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::ledger::Place;
use crate::link::{Arrivals, User, Watcher};

/// A push, and which of its receivers it waits for.
pub(super) type Waiting = (Place, usize);

/// All lines. Only what the ledger holds stands in them.
pub(super) struct Lines {
    lines: HashMap<User, Line>,
    timers: BTreeSet<(Instant, User)>,
    watcher: Watcher,
}

/// Never empty.
struct Line {
    waiting: BTreeSet<Waiting>,
    /// When the first is tried again.
    at: Instant,
}

impl Lines {
    pub(super) fn new(arrivals: Arc<Arrivals>) -> Self {
        Self {
            lines: HashMap::new(),
            timers: BTreeSet::new(),
            watcher: Watcher::new(arrivals),
        }
    }

    /// Stands in the user's line, if there is one; says whether there is.
    pub(super) fn join(&mut self, user: &User, waiting: Waiting) -> bool {
        let Some(line) = self.lines.get_mut(user) else {
            return false;
        };
        line.waiting.insert(waiting);
        true
    }

    /// Stands in the user's line, which begins here if there is none. The first in it is tried again at `at`.
    pub(super) fn wait(&mut self, user: &User, waiting: Waiting, at: Instant) {
        let line = self.lines.entry(user.clone()).or_insert_with(|| Line {
            waiting: BTreeSet::new(),
            at,
        });
        line.waiting.insert(waiting);
        if line.waiting.first() == Some(&waiting) {
            self.timers.remove(&(line.at, user.clone()));
            line.at = at;
            self.timers.insert((at, user.clone()));
        }
    }

    /// Has the user's arrival told.
    pub(super) fn wait_for(&self, user: &User) {
        self.watcher.wait_for(user);
    }

    /// Ends when users have come who were waited for. Nothing is lost when it is dropped.
    pub(super) async fn come(&self) -> BTreeSet<User> {
        self.watcher.come().await
    }

    /// Whose turn it is.
    pub(super) fn first(&self, user: &User) -> Option<Waiting> {
        self.lines.get(user)?.waiting.first().copied()
    }

    /// Leaves the line. If it was the first, it is the next one's turn.
    pub(super) fn leave(&mut self, user: &User, waiting: Waiting, now: Instant) {
        let Some(line) = self.lines.get_mut(user) else {
            return;
        };
        let was_first = line.waiting.first() == Some(&waiting);
        line.waiting.remove(&waiting);
        if line.waiting.is_empty() {
            self.end(user);
        } else if was_first {
            self.timers.remove(&(line.at, user.clone()));
            line.at = now;
            self.timers.insert((now, user.clone()));
        }
    }

    fn end(&mut self, user: &User) {
        if let Some(line) = self.lines.remove(user) {
            self.timers.remove(&(line.at, user.clone()));
            self.watcher.forget(user);
        }
    }

    /// The partition is another node's.
    pub(super) fn forget(&mut self, assignment: u64) {
        let mut empty = Vec::new();
        for (user, line) in &mut self.lines {
            line.waiting
                .retain(|(place, _)| place.assignment != assignment);
            if line.waiting.is_empty() {
                empty.push(user.clone());
            }
        }
        for user in empty {
            self.end(&user);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The users whose lines are to go on by now.
    pub(super) fn due(&self, now: Instant) -> Vec<User> {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, user)| user.clone()).collect()
    }
}
