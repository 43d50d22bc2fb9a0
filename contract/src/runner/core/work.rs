//! What a chain has to do next.

use crate::message::{Direction, Message};
use crate::receipt::Outcome;

/// One thing to do next. Always done in the order in which the filters asked for it, depth first.
pub(crate) enum Work {
    /// Go on: upstream into slot `at`, downstream through the `at` slots that are left.
    Walk {
        direction: Direction,
        at: usize,
        message: Message,
    },
    /// Tell the next receipt of an entry.
    Settle { number: u64, outcome: Outcome },
    /// Let in the next of those that stand before a slot.
    Drain { direction: Direction, slot: usize },
}

/// A message's visit to one slot.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) direction: Direction,
    pub(crate) slot: usize,
    /// The message keeps its place in line: those behind it wait while it waits.
    pub(crate) ordered: bool,
    /// It came as a whole frame.
    pub(crate) raw: bool,
    /// It is, or may be, an answer on its way to the client.
    pub(crate) answers: bool,
    /// Its entry, where that is known.
    pub(crate) number: Option<u64>,
}

impl Step {
    pub(crate) fn of(message: &Message, direction: Direction, slot: usize) -> Self {
        Self {
            direction,
            slot,
            ordered: message.is_ordered(direction),
            raw: message.command.is_none(),
            answers: direction == Direction::Downstream && message.may_answer(),
            number: None,
        }
    }

    /// The work of taking `message` on from here.
    pub(crate) fn go_on(self, message: Message) -> Work {
        Work::Walk {
            direction: self.direction,
            at: self.next(),
            message,
        }
    }

    /// Where the message goes on: upstream the next slot, downstream the number of slots left.
    pub(crate) fn next(self) -> usize {
        match self.direction {
            Direction::Upstream => self.slot + 1,
            Direction::Downstream => self.slot,
        }
    }
}
