//! What has been gathered, and which of it may go next. Knows neither time nor who sends it.

use std::collections::{HashMap, VecDeque};

use linkgate_filter::Message;

/// A queue of messages whose order counts: one link's, or everybody's where it does not.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Message>,
    /// What those weigh, in bytes.
    weight: usize,
    /// Some of its messages are in flight, and the others have to wait for them.
    held: bool,
}

/// A batch to send.
pub(crate) struct Batch {
    /// At least one.
    pub(crate) messages: Vec<Message>,
    /// The lanes to [release](Gathered::release) once all of it has settled.
    pub(crate) lanes: Vec<u64>,
}

/// The gathered messages of one shard.
pub(crate) struct Gathered {
    max_messages: usize,
    max_bytes: usize,
    ordered: bool,
    /// Those alone that wait or are held, so there are never more of them than messages in the shard.
    lanes: HashMap<u64, Lane>,
    /// The lanes with messages that may go, in turn.
    ready: VecDeque<u64>,
    ready_messages: usize,
    ready_weight: usize,
}

impl Gathered {
    pub(crate) fn new(max_messages: usize, max_bytes: usize, ordered: bool) -> Self {
        Self {
            max_messages,
            max_bytes,
            ordered,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            ready_messages: 0,
            ready_weight: 0,
        }
    }

    /// Whether nothing may go just now.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready_messages == 0
    }

    /// Whether there is enough for a batch.
    pub(crate) fn is_full(&self) -> bool {
        self.ready_messages >= self.max_messages || self.ready_weight >= self.max_bytes
    }

    pub(crate) fn push(&mut self, message: Message) {
        let key = if self.ordered { message.link.id } else { 0 };
        let lane = self.lanes.entry(key).or_default();
        let weight = message.weight();
        if !lane.held {
            if lane.waiting.is_empty() {
                self.ready.push_back(key);
            }
            self.ready_messages += 1;
            self.ready_weight += weight;
        }
        lane.weight += weight;
        lane.waiting.push_back(message);
    }

    /// The next batch: the lanes in turn, from each as much as there is room for.
    pub(crate) fn take(&mut self) -> Batch {
        let mut batch = Batch {
            messages: Vec::with_capacity(self.ready_messages.min(self.max_messages)),
            lanes: Vec::new(),
        };
        let mut room = Room {
            messages: self.max_messages,
            bytes: self.max_bytes,
        };
        while let Some(key) = self.ready.front().copied() {
            let Some(lane) = self.lanes.get_mut(&key) else {
                self.ready.pop_front();
                continue;
            };
            let before = (lane.waiting.len(), lane.weight);
            lane.fill(&mut batch.messages, &mut room);
            let taken = before.0 - lane.waiting.len();
            let all = lane.waiting.is_empty();
            if taken == 0 {
                break;
            }
            self.ready_messages -= taken;
            self.ready_weight -= before.1 - lane.weight;
            if self.ordered {
                // What is left of the lane has to wait for what goes.
                lane.held = true;
                self.ready_messages -= lane.waiting.len();
                self.ready_weight -= lane.weight;
                batch.lanes.push(key);
            }
            if all && !self.ordered {
                self.lanes.remove(&key);
            }
            if all || self.ordered {
                self.ready.pop_front();
            }
            if !all {
                break;
            }
        }
        batch
    }

    /// All of a batch has settled: what waited for it may go.
    pub(crate) fn release(&mut self, lanes: Vec<u64>) {
        for key in lanes {
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            lane.held = false;
            if lane.waiting.is_empty() {
                self.lanes.remove(&key);
            } else {
                self.ready_messages += lane.waiting.len();
                self.ready_weight += lane.weight;
                self.ready.push_back(key);
            }
        }
    }
}

/// What still fits into a batch.
struct Room {
    messages: usize,
    bytes: usize,
}

impl Lane {
    /// Moves messages into a batch as long as they fit; the first of a batch always does.
    fn fill(&mut self, batch: &mut Vec<Message>, room: &mut Room) {
        while let Some(next) = self.waiting.front() {
            let weight = next.weight();
            if room.messages == 0 || (weight > room.bytes && !batch.is_empty()) {
                return;
            }
            room.messages -= 1;
            room.bytes = room.bytes.saturating_sub(weight);
            self.weight -= weight;
            batch.extend(self.waiting.pop_front());
        }
    }
}
