//! The way from many links into the part of a pipeline that they share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{self, Waker};

use parking_lot::Mutex;

use crate::message::Message;

/// The way into the shards of a trunk. When it is dropped, the shards finish what they have and end.
pub(crate) struct Trunk {
    shards: Box<[Arc<Entrance>]>,
}

impl Trunk {
    pub(crate) fn new(shards: usize, capacity: usize) -> Self {
        Self {
            shards: (0..shards)
                .map(|_| Arc::new(Entrance::new(capacity)))
                .collect(),
        }
    }

    /// The way into the shard of this link. Always the same one, so the link's order holds.
    pub(crate) fn ticket(&self, link: u64) -> Ticket {
        let spread = link.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Ticket(Arc::clone(
            &self.shards[spread as usize % self.shards.len()],
        ))
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
pub(crate) struct Ticket(Arc<Entrance>);

impl Ticket {
    /// Gives the message back if the shard is full.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.0.send(message)
    }

    /// Whether the shard takes messages. If not, the task is woken when it does.
    pub(crate) fn has_room(&self, cx: &task::Context<'_>) -> bool {
        self.0.has_room(cx)
    }
}

/// A bounded queue from many links to one shard. Nobody in the trunk ever waits for a link.
pub(crate) struct Entrance {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Message>,
    bytes: usize,
    reader: Option<Waker>,
    waiting: Vec<Waker>,
    closed: bool,
}

impl Entrance {
    fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            capacity,
        }
    }

    fn send(&self, message: Message) -> Result<(), Message> {
        let mut inner = self.inner.lock();
        if inner.bytes >= self.capacity {
            return Err(message);
        }
        inner.bytes += message.weight();
        inner.queue.push_back(message);
        let reader = inner.reader.clone();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    fn has_room(&self, cx: &task::Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        let room = inner.bytes < self.capacity;
        if !room
            && !inner
                .waiting
                .iter()
                .any(|waker| waker.will_wake(cx.waker()))
        {
            inner.waiting.push(cx.waker().clone());
        }
        room
    }

    pub(crate) fn receive(&self, cx: &task::Context<'_>) -> Option<Message> {
        let (message, woken) = {
            let mut inner = self.inner.lock();
            inner.reader = Some(cx.waker().clone());
            let message = inner.queue.pop_front()?;
            inner.bytes -= message.weight();
            let room = inner.bytes < self.capacity;
            (
                message,
                if room {
                    std::mem::take(&mut inner.waiting)
                } else {
                    Vec::new()
                },
            )
        };
        woken.into_iter().for_each(Waker::wake);
        Some(message)
    }

    fn close(&self) {
        let reader = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.inner.lock();
        inner.closed && inner.queue.is_empty()
    }
}
