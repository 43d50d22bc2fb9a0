//! Where business messages stand in order before a slot that waits.

use std::collections::VecDeque;

use crate::message::{Command, Direction, Message};

/// The queue before one slot, in one direction.
struct Lane {
    direction: Direction,
    slot: usize,
    /// A message has entered the slot and its future has not ended.
    waiting: bool,
    queue: VecDeque<Message>,
}

/// The queues that exist: most of the time none.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    weight: usize,
}

impl Lanes {
    fn find(&mut self, direction: Direction, slot: usize) -> Option<&mut Lane> {
        self.lanes
            .iter_mut()
            .find(|lane| lane.slot == slot && lane.direction == direction)
    }

    fn open(&mut self, direction: Direction, slot: usize) -> &mut Lane {
        let known = self
            .lanes
            .iter()
            .position(|lane| lane.slot == slot && lane.direction == direction);
        let index = known.unwrap_or_else(|| {
            self.lanes.push(Lane {
                direction,
                slot,
                waiting: false,
                queue: VecDeque::new(),
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }

    /// Whether a message has to stand in line before the slot.
    pub(crate) fn blocked(&mut self, direction: Direction, slot: usize) -> bool {
        !self.lanes.is_empty() && self.find(direction, slot).is_some()
    }

    pub(crate) fn set_waiting(&mut self, direction: Direction, slot: usize, waiting: bool) {
        self.open(direction, slot).waiting = waiting;
        self.tidy(direction, slot);
    }

    pub(crate) fn push(&mut self, direction: Direction, slot: usize, message: Message) {
        self.weight += charge(&message);
        self.open(direction, slot).queue.push_back(message);
    }

    /// The first in line, unless the slot is waiting.
    pub(crate) fn pop(&mut self, direction: Direction, slot: usize) -> Option<Message> {
        let lane = self.find(direction, slot)?;
        let message = if lane.waiting {
            None
        } else {
            lane.queue.pop_front()
        };
        self.weight -= message.as_ref().map_or(0, charge);
        self.tidy(direction, slot);
        message
    }

    /// Puts the first in line back.
    pub(crate) fn unpop(&mut self, direction: Direction, slot: usize, message: Message) {
        self.weight += charge(&message);
        self.open(direction, slot).queue.push_front(message);
    }

    fn tidy(&mut self, direction: Direction, slot: usize) {
        self.lanes.retain(|lane| {
            lane.slot != slot
                || lane.direction != direction
                || lane.waiting
                || !lane.queue.is_empty()
        });
    }

    /// Everything that stands in line in this direction, the farthest on first; the lines are gone, those of slots that
    /// wait too.
    pub(crate) fn take(&mut self, direction: Direction) -> Vec<Message> {
        let lanes = std::mem::take(&mut self.lanes);
        let (mut taken, kept): (Vec<_>, _) = lanes
            .into_iter()
            .partition(|lane| lane.direction == direction);
        self.lanes = kept;
        taken.sort_by_key(|lane| match direction {
            Direction::Upstream => usize::MAX - lane.slot,
            Direction::Downstream => lane.slot,
        });
        let messages: Vec<_> = taken.into_iter().flat_map(|lane| lane.queue).collect();
        self.weight -= messages.iter().map(charge).sum::<usize>();
        messages
    }

    pub(crate) fn any(&self, direction: Direction) -> bool {
        self.any_from(direction, 0)
    }

    /// Whether a message stands or waits before this slot or a later one.
    pub(crate) fn any_from(&self, direction: Direction, slot: usize) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|lane| lane.direction == direction && lane.slot >= slot)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// What the raw messages and pushes in line weigh, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

/// Business messages weigh in their entries already.
fn charge(message: &Message) -> usize {
    match message.command {
        Some(Command::UpstreamMessage) => 0,
        _ => message.weight(),
    }
}
