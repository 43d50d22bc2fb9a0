//! The way from many links into the part of a pipeline that they share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{self, Waker};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::fault::Fault;
use crate::message::Message;
use crate::receipt::Outcome;

/// The way into the shards of a trunk. When it is dropped, the shards finish what they have and end.
pub(crate) struct Trunk {
    shards: Box<[Arc<Entrance>]>,
}

impl Trunk {
    pub(crate) fn new(shards: usize, capacity: usize) -> Self {
        let shards = (0..shards).map(|_| Arc::new(Entrance::new(capacity)));
        Self {
            shards: shards.collect(),
        }
    }

    /// The way into the shard of this link. Always the same one, so the link's order holds.
    pub(crate) fn ticket(&self, link: u64) -> Ticket {
        let spread = link.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let shard = &self.shards[spread as usize % self.shards.len()];
        Ticket {
            entrance: Arc::clone(shard),
            place: None,
        }
    }

    /// No shard gathers any more; see [`Pipeline::retire`](crate::runner::Pipeline::retire).
    pub(crate) fn retire(&self) {
        for shard in &self.shards {
            shard.retire();
        }
    }

    pub(crate) fn entrances(&self) -> &[Arc<Entrance>] {
        &self.shards
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        for shard in &self.shards {
            shard.close();
        }
    }
}

/// One link's way into its shard.
pub(crate) struct Ticket {
    entrance: Arc<Entrance>,
    /// The place among those that wait for room. One that has been woken is a turn: it is kept until the link has used
    /// it, and then goes to the next.
    place: Option<u64>,
}

impl Ticket {
    /// Gives the message back if the shard is full.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.entrance.send(message)
    }

    /// Whether the shard takes messages. If not, the task is woken when it does.
    pub(crate) fn has_room(&mut self, cx: &task::Context<'_>) -> bool {
        self.entrance.has_room(&mut self.place, cx)
    }

    /// The link wants no room now: whoever waits behind it may go on.
    pub(crate) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.entrance.leave(place);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A bounded queue from many links to one shard. Nobody in the trunk ever waits for a link.
///
/// No wake is lost: wakers are left behind under the lock under which the queue is looked at and changed. While there is
/// room and links wait, one of those that were woken has not used its turn yet, and wakes the next when it has. So a
/// message costs a few wakes, however many links wait.
pub(crate) struct Entrance {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Message>,
    bytes: usize,
    reader: Option<Waker>,
    waiting: Waiting,
    /// Told of what the shard has to look at whether or not it takes messages.
    keeper: Option<Waker>,
    /// What still comes is not to be gathered.
    retired: bool,
    /// No more messages will come.
    closed: bool,
    /// Nobody reads any more.
    abandoned: bool,
}

impl Entrance {
    fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            capacity,
        }
    }

    fn send(&self, message: Message) -> Result<(), Message> {
        let reader = {
            let mut inner = self.inner.lock();
            if inner.abandoned {
                drop(inner);
                message.settle(abandoned());
                return Ok(());
            }
            if inner.bytes >= self.capacity {
                return Err(message);
            }
            inner.bytes += message.weight();
            inner.queue.push_back(message);
            // One wake is enough until the reader has looked.
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    fn has_room(&self, place: &mut Option<u64>, cx: &task::Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        let room = self.is_open(&inner);
        if !room {
            *place = Some(inner.waiting.join(*place, cx.waker()));
        }
        room
    }

    fn is_open(&self, inner: &Inner) -> bool {
        inner.bytes < self.capacity || inner.abandoned
    }

    /// Gives a place up. If it was a turn, it is the next one's.
    fn leave(&self, place: u64) {
        let next = {
            let mut inner = self.inner.lock();
            let is_turn = !inner.waiting.leave(place);
            let passes = is_turn && self.is_open(&inner);
            passes.then(|| inner.waiting.first()).flatten()
        };
        if let Some(next) = next {
            next.wake();
        }
    }

    /// The next message. If there is none, the task is woken when there is.
    pub(crate) fn receive(&self, cx: &task::Context<'_>) -> Option<Message> {
        let mut inner = self.inner.lock();
        let Some(message) = inner.queue.pop_front() else {
            inner.reader = Some(cx.waker().clone());
            return None;
        };
        inner.bytes -= message.weight();
        let mut woken = SmallVec::<[Waker; Self::WOKEN]>::new();
        if self.is_open(&inner) {
            let waiting = &mut inner.waiting;
            woken.extend(std::iter::from_fn(|| waiting.first()).take(Self::WOKEN));
        }
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        Some(message)
    }

    /// Links woken for each message that leaves a queue with room: more than one, as messages are not of one size, but
    /// not all, as thousands may wait for the room of one message.
    const WOKEN: usize = 4;

    fn close(&self) {
        self.tell(|inner| inner.closed = true);
    }

    fn retire(&self) {
        self.tell(|inner| inner.retired = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Inner)) {
        let keeper = {
            let mut inner = self.inner.lock();
            change(&mut inner);
            inner.keeper.take()
        };
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Nobody will read any more: what is here and what still comes is refused.
    pub(crate) fn abandon(&self) {
        let (left, woken) = {
            let mut inner = self.inner.lock();
            inner.abandoned = true;
            inner.bytes = 0;
            (
                std::mem::take(&mut inner.queue),
                std::mem::take(&mut inner.waiting.wakers),
            )
        };
        for message in left {
            message.settle(abandoned());
        }
        woken.into_values().for_each(Waker::wake);
    }

    /// How far the shard is. The task is woken when that changes by the pipeline's end.
    pub(crate) fn stage(&self, cx: &task::Context<'_>) -> Stage {
        let mut inner = self.inner.lock();
        if inner.closed && inner.queue.is_empty() {
            return Stage::Finished;
        }
        let keeper = inner.keeper.as_ref();
        if !keeper.is_some_and(|keeper| keeper.will_wake(cx.waker())) {
            inner.keeper = Some(cx.waker().clone());
        }
        if inner.retired {
            Stage::Retired
        } else {
            Stage::Open
        }
    }
}

/// How far a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It gathers.
    Open,
    /// Messages may come, but are not to be gathered.
    Retired,
    /// None will come.
    Finished,
}

fn abandoned() -> Outcome {
    let fault = Fault::gateway("trunk.gone").retryable();
    Outcome::Failed(fault.detail("the shared part of the pipeline does not run"))
}

/// The links that wait for room, first come, first woken.
#[derive(Default)]
struct Waiting {
    /// By place.
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

impl Waiting {
    /// Takes a place, or keeps the one it has.
    fn join(&mut self, place: Option<u64>, waker: &Waker) -> u64 {
        if let Some(place) = place
            && let Some(held) = self.wakers.get_mut(&place)
        {
            held.clone_from(waker);
            return place;
        }
        let place = self.next;
        self.next += 1;
        self.wakers.insert(place, waker.clone());
        place
    }

    /// Gives a place up. Says whether it was still waited at.
    fn leave(&mut self, place: u64) -> bool {
        self.wakers.remove(&place).is_some()
    }

    /// Takes out the first.
    fn first(&mut self) -> Option<Waker> {
        self.wakers.pop_first().map(|(_, waker)| waker)
    }
}

#[cfg(test)]
mod tests;
