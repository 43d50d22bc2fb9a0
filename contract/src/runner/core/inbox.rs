//! Where outcomes from other tasks reach a chain.

use std::task::Waker;

use parking_lot::Mutex;

use crate::receipt::{Outcome, Settler};

/// The mailbox of a chain's receipts. It holds at most one outcome per unsettled message, so it needs no bound of its
/// own and settling never waits.
///
/// No outcome is overlooked: a look that finds nothing leaves the waker behind under the same lock, so whatever comes after
/// it wakes the task. While the task is at work nobody wakes it: it looks once more before it rests.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    outcomes: Vec<(u64, Outcome)>,
    waker: Option<Waker>,
    /// The task rests, and is to be woken.
    rests: bool,
}

impl Inbox {
    /// Puts what has come into `taken`, which is empty. The task is at work until it [waits](Self::wait).
    pub(crate) fn take(&self, taken: &mut Vec<(u64, Outcome)>) {
        let mut inner = self.0.lock();
        inner.rests = false;
        std::mem::swap(&mut inner.outcomes, taken);
    }

    /// Has the task of `waker` woken at the next outcome. `false` if there is one already.
    pub(crate) fn wait(&self, waker: &Waker) -> bool {
        // An earlier waker is dropped after the lock is let go: that may drop a task, with receipts of this very inbox.
        let _earlier = {
            let mut inner = self.0.lock();
            if !inner.outcomes.is_empty() {
                return false;
            }
            inner.rests = true;
            let known = inner.waker.as_ref();
            if known.is_some_and(|known| known.will_wake(waker)) {
                None
            } else {
                inner.waker.replace(waker.clone())
            }
        };
        true
    }

    /// Gives back the room of a burst.
    pub(crate) fn rest(&self) {
        let mut inner = self.0.lock();
        if inner.outcomes.is_empty() {
            inner.outcomes = Vec::new();
        }
    }
}

impl Settler for Inbox {
    fn settle(&self, number: u64, outcome: Outcome) {
        let waker = {
            let mut inner = self.0.lock();
            inner.outcomes.push((number, outcome));
            // One wake is enough until the task has looked.
            let rested = std::mem::take(&mut inner.rests);
            rested.then(|| inner.waker.clone()).flatten()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
