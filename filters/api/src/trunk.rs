//! The way from many links into the part of a pipeline that they share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{self, Waker};

use parking_lot::Mutex;

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

    /// No shard gathers any more; see [`Pipeline::retire`](crate::Pipeline::retire).
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
    /// The place among those that wait for room, if it still is one.
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
}

/// A bounded queue from many links to one shard. Nobody in the trunk ever waits for a link.
///
/// No wake is lost: wakers are left behind under the lock under which the queue is looked at and changed.
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
        let room = inner.bytes < self.capacity || inner.abandoned;
        if !room {
            *place = Some(inner.waiting.join(*place, cx.waker()));
        }
        room
    }

    /// The next message. If there is none, the task is woken when there is.
    pub(crate) fn receive(&self, cx: &task::Context<'_>) -> Option<Message> {
        let mut inner = self.inner.lock();
        let Some(message) = inner.queue.pop_front() else {
            inner.reader = Some(cx.waker().clone());
            return None;
        };
        inner.bytes -= message.weight();
        let woken = if inner.queue.is_empty() {
            inner.waiting.leave(usize::MAX)
        } else if inner.bytes < self.capacity {
            inner.waiting.leave(Self::WOKEN)
        } else {
            VecDeque::new()
        };
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        Some(message)
    }

    /// Links woken for each message that leaves a queue with room: more than one, as some may have gone, but not all,
    /// as thousands may wait for the room of one message.
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
                inner.waiting.leave(usize::MAX),
            )
        };
        for message in left {
            message.settle(abandoned());
        }
        woken.into_iter().for_each(Waker::wake);
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
    wakers: VecDeque<Waker>,
    /// The number of the first place in `wakers`.
    first: u64,
}

impl Waiting {
    /// Takes a place, or keeps the one it has.
    fn join(&mut self, place: Option<u64>, waker: &Waker) -> u64 {
        let held = place.and_then(|place| {
            let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
            Some((place, self.wakers.get_mut(index)?))
        });
        if let Some((place, held)) = held {
            held.clone_from(waker);
            return place;
        }
        self.wakers.push_back(waker.clone());
        self.first + (self.wakers.len() as u64 - 1)
    }

    /// Takes out the first `most`.
    fn leave(&mut self, most: usize) -> VecDeque<Waker> {
        let rest = self.wakers.split_off(most.min(self.wakers.len()));
        let woken = std::mem::replace(&mut self.wakers, rest);
        self.first += woken.len() as u64;
        woken
    }
}

#[cfg(test)]
mod tests;
