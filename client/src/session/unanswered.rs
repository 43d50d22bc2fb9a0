//! The messages that the gateway has not answered for good.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

/// A message under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) body: Bytes,
    /// When it was sent first.
    pub(super) first: Option<Instant>,
    /// How often it was sent since the gateway last said "try again".
    pub(super) sent: u32,
    /// How often the gateway said so.
    pub(super) refused: u32,
    /// When to send it again.
    pub(super) due: Option<Instant>,
    /// Not before that, on no connection: the gateway has said so.
    pub(super) held: bool,
}

impl Entry {
    pub(super) fn new(key: String, body: Bytes) -> Self {
        Self {
            key,
            body,
            first: None,
            sent: 0,
            refused: 0,
            due: None,
            held: false,
        }
    }
}

/// In the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Unanswered(VecDeque<Entry>);

impl Unanswered {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push_back(entry);
    }

    /// Answers come mostly in order, so the search is short.
    fn position(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.key == key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.position(key).and_then(|at| self.0.get_mut(at))
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        self.position(key).and_then(|at| self.0.remove(at))
    }

    /// When the next message has to be sent again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.iter().filter_map(|entry| entry.due).min()
    }

    /// Those that are due at `now`, no longer marked so.
    pub(super) fn take_due(&mut self, now: Instant) -> impl Iterator<Item = &mut Entry> {
        let due = move |entry: &mut Entry| entry.due.take_if(|due| *due <= now).is_some();
        self.0
            .iter_mut()
            .filter_map(move |entry| due(entry).then_some(entry))
    }

    /// Those to send on a new connection: all but the ones that the gateway wants later.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().filter(|entry| !entry.held)
    }
}
