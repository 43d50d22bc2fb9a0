//! What a chain is at, for the case that it panics.

use crate::message::Message;

/// A filter's turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// Whose it is.
    pub(crate) slot: usize,
    /// The entry of the message that the filter has.
    pub(crate) number: Option<u64>,
    /// The key of that message. Copied for each message, as the message itself goes down with the filter.
    pub(crate) key: String,
    /// The filter has the outcome of that message, not the message.
    pub(crate) settling: bool,
}

impl Turn {
    /// A message goes from slot to slot.
    pub(crate) fn carries(&mut self, message: &Message, number: Option<u64>) {
        self.settling = false;
        self.number = number;
        self.key.clear();
        self.key.push_str(&message.key);
    }

    /// A filter hears the outcome of a message.
    pub(crate) fn settles(&mut self, number: u64) {
        self.settling = true;
        self.number = Some(number);
        self.key.clear();
    }

    /// What a future is at that the filter of this slot has made of its message.
    pub(crate) fn at(&self, slot: usize) -> Self {
        Self {
            slot,
            number: self.number,
            key: self.key.clone(),
            settling: false,
        }
    }

    /// A filter is called for something else.
    pub(crate) fn calls(&mut self) {
        self.settling = false;
        self.number = None;
        self.key.clear();
    }
}
