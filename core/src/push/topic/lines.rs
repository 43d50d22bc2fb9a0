//! Pushes that wait for their user, who is not here or has no room: those of a user in a line, in the order they came.
//!
//! A push for one device waits behind those for the same device, and for all devices; one for all waits behind any.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::ledger::Place;
use crate::link::{Journal, User, Watcher};

/// A push, and which of its receivers it waits for.
pub(super) type Waiting = (Place, usize);

/// The one device that a push is for, or all.
pub(super) type Device = Option<Arc<str>>;

/// All lines. Only what the ledger holds stands in them.
pub(super) struct Lines {
    lines: HashMap<User, Line>,
    timers: BTreeSet<(Instant, User)>,
    watcher: Watcher,
}

/// Never empty.
struct Line {
    waiting: BTreeMap<Waiting, Entry>,
    /// When it is to go on.
    at: Instant,
    /// When the user was last known to be here.
    seen: Option<Instant>,
}

struct Entry {
    device: Device,
    /// When it is to be tried again; `None` if it has only stood behind others.
    at: Option<Instant>,
}

/// Who has to stay behind others of a line.
#[derive(Default)]
pub(super) struct Behind {
    devices: BTreeSet<Arc<str>>,
    is_for_all: bool,
}

impl Behind {
    /// What is for this device, or for all, stays where it is.
    pub(super) fn add(&mut self, device: Device) {
        match device {
            Some(device) => drop(self.devices.insert(device)),
            None => self.is_for_all = true,
        }
    }

    pub(super) fn holds_all(&self) -> bool {
        self.is_for_all
    }

    pub(super) fn holds(&self, device: &Device) -> bool {
        self.is_for_all
            || match device {
                Some(device) => self.devices.contains(device),
                None => !self.devices.is_empty(),
            }
    }
}

impl Lines {
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        Self {
            lines: HashMap::new(),
            timers: BTreeSet::new(),
            watcher: Watcher::new(journal),
        }
    }

    /// Stands in the user's line, if it has to stay behind others there; says whether it has to.
    pub(super) fn join(&mut self, user: &User, waiting: Waiting, device: &Device) -> bool {
        let Some(line) = self.lines.get_mut(user) else {
            return false;
        };
        let mut others = line.waiting.values();
        let stays = others
            .any(|other| device.is_none() || other.device.is_none() || other.device == *device);
        if stays {
            let device = device.clone();
            line.waiting
                .entry(waiting)
                .or_insert(Entry { device, at: None });
        }
        stays
    }

    /// Stands in the user's line, which begins here if there is none, to be tried again at `at`.
    pub(super) fn wait(&mut self, user: &User, waiting: Waiting, device: Device, at: Instant) {
        let entry = Entry {
            device,
            at: Some(at),
        };
        let line = self.lines.entry(user.clone()).or_insert_with(|| Line {
            waiting: BTreeMap::new(),
            at,
            seen: None,
        });
        line.waiting.insert(waiting, entry);
        let at = line.at.min(at);
        self.go_on_at(user, at);
    }

    /// The user was here just now.
    pub(super) fn saw(&mut self, user: &User, now: Instant) {
        if let Some(line) = self.lines.get_mut(user) {
            line.seen = Some(now);
        }
    }

    /// When the user of a line was last known to be here.
    pub(super) fn seen(&self, user: &User) -> Option<Instant> {
        self.lines.get(user)?.seen
    }

    /// Has the user's arrival told.
    pub(super) fn wait_for(&self, user: &User) {
        self.watcher.wait_for(user);
    }

    /// Ends when users have come who were waited for. Nothing is lost when it is dropped.
    pub(super) async fn come(&self) -> BTreeSet<User> {
        self.watcher.come().await
    }

    /// Who stands behind `last`, or first; its device, and when it is to be tried.
    pub(super) fn after(
        &self,
        user: &User,
        last: Option<Waiting>,
    ) -> Option<(Waiting, Device, Option<Instant>)> {
        let line = self.lines.get(user)?;
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (waiting, entry) = line.waiting.range((from, Bound::Unbounded)).next()?;
        Some((*waiting, entry.device.clone(), entry.at))
    }

    /// Has gone. Those behind it are looked after by whoever goes through the line.
    pub(super) fn remove(&mut self, user: &User, waiting: Waiting) {
        if let Some(line) = self.lines.get_mut(user) {
            line.waiting.remove(&waiting);
            if line.waiting.is_empty() {
                self.end(user);
            }
        }
    }

    /// Leaves the line. Those behind it are to be tried.
    pub(super) fn leave(&mut self, user: &User, waiting: Waiting, now: Instant) {
        self.remove(user, waiting);
        self.go_on_at(user, now);
    }

    /// The line is to go on at `at`.
    pub(super) fn go_on_at(&mut self, user: &User, at: Instant) {
        if let Some(line) = self.lines.get_mut(user) {
            self.timers.remove(&(line.at, user.clone()));
            line.at = at;
            self.timers.insert((at, user.clone()));
        }
    }

    fn end(&mut self, user: &User) {
        if let Some(line) = self.lines.remove(user) {
            self.timers.remove(&(line.at, user.clone()));
            self.watcher.forget(user);
        }
    }

    /// The partition is not here any more.
    pub(super) fn forget(&mut self, assignment: u64, now: Instant) {
        let is_of = |(place, _): &Waiting| place.assignment == assignment;
        let mut shorter = Vec::new();
        for (user, line) in &mut self.lines {
            let before = line.waiting.len();
            line.waiting.retain(|waiting, _| !is_of(waiting));
            if line.waiting.len() < before {
                shorter.push((user.clone(), line.waiting.is_empty()));
            }
        }
        for (user, is_empty) in shorter {
            match is_empty {
                true => self.end(&user),
                false => self.go_on_at(&user, now),
            }
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
