//! How other tasks reach a link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use linkgate_filter::runner::Pipeline;
use linkgate_filter::{CloseCode, Fault, Message};
use parking_lot::Mutex;

use super::settings::Grace;

/// What is in a mailbox. Orders are few and the latest counts; pushes stand in line, bounded by their bytes.
#[derive(Default)]
struct Inner {
    pushes: VecDeque<Message>,
    bytes: usize,
    orders: Orders,
    waker: Option<Waker>,
    shut: bool,
}

/// What the node wants of a link.
#[derive(Default)]
pub(super) struct Orders {
    /// Tell the client why and close.
    pub(super) close: Option<CloseCode>,
    /// Answer what the client has sent before that, as far as there is time.
    pub(super) grace: Option<Grace>,
    /// The session is not this link's to keep any more: a later link has it, or the node stops.
    pub(super) fenced: bool,
    /// Change over to another pipeline, giving the old one this long.
    pub(super) change: Option<(Arc<Pipeline>, Duration)>,
    /// Send this to the client before anything else, such as a REDIRECT.
    pub(super) notice: Option<Message>,
}

/// What the pushes of a business that wait in all its links' mailboxes may weigh together.
#[derive(Debug)]
pub struct PushBudget {
    bytes: AtomicUsize,
    limit: AtomicUsize,
}

impl PushBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        })
    }

    /// Changes the limit for what comes.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let room = |held| (held < limit).then_some(held + bytes);
        self.bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A link's mailbox.
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    capacity: usize,
    budget: Arc<PushBudget>,
}

impl Mailbox {
    /// A mailbox whose pushes may weigh `capacity` bytes together, and count in the business's budget.
    pub(super) fn new(capacity: usize, budget: Arc<PushBudget>) -> Self {
        Self {
            inner: Mutex::default(),
            capacity,
            budget,
        }
    }

    /// Puts a push in line, or gives it back with what to tell its sender.
    pub(super) fn push(&self, message: Message) -> Result<(), (Message, Fault)> {
        let mut inner = self.inner.lock();
        if inner.shut {
            return Err((message, gone()));
        }
        if inner.bytes >= self.capacity {
            let fault = Fault::client("link.queue_full")
                .retryable()
                .detail("the client does not take its pushes as fast as they come");
            return Err((message, fault));
        }
        if !self.budget.take(message.weight()) {
            let fault = Fault::gateway("push.biz_queue_full").retryable();
            let fault = fault.detail("too much waits for the business's clients");
            return Err((message, fault));
        }
        inner.bytes += message.weight();
        inner.pushes.push_back(message);
        wake(inner);
        Ok(())
    }

    /// Leaves orders for the link.
    pub(super) fn order(&self, write: impl FnOnce(&mut Orders)) {
        let mut inner = self.inner.lock();
        write(&mut inner.orders);
        wake(inner);
    }

    /// Takes the orders; the task of `waker` is woken by whatever comes next.
    pub(super) fn take_orders(&self, waker: &Waker) -> Orders {
        let mut inner = self.inner.lock();
        if !inner
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            inner.waker = Some(waker.clone());
        }
        std::mem::take(&mut inner.orders)
    }

    /// The first push in line.
    pub(super) fn take_push(&self) -> Option<Message> {
        let mut inner = self.inner.lock();
        let message = inner.pushes.pop_front();
        match &message {
            Some(message) => {
                inner.bytes -= message.weight();
                self.budget.give_back(message.weight());
            }
            None => inner.pushes = VecDeque::new(),
        }
        message
    }

    /// Takes no more pushes; gives out those that stand in line.
    pub(super) fn shut(&self) -> VecDeque<Message> {
        let mut inner = self.inner.lock();
        inner.shut = true;
        self.budget.give_back(std::mem::take(&mut inner.bytes));
        std::mem::take(&mut inner.pushes)
    }
}

/// What the sender of a push hears when the link has gone meanwhile.
pub(super) fn gone() -> Fault {
    Fault::client("link.gone")
        .retryable()
        .detail("the client has disconnected")
}

fn wake(inner: parking_lot::MutexGuard<'_, Inner>) {
    let waker = inner.waker.clone();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}
