//! Where outcomes from other tasks reach a chain.

use std::task::Waker;

use parking_lot::Mutex;

use crate::receipt::{Outcome, Settler};

/// The mailbox of a chain's receipts. It holds at most one outcome per unsettled message, so it needs no bound of its
/// own and settling never waits.
///
/// No outcome is overlooked: the waker is left behind under the same lock under which outcomes are put in and taken
/// out, so whatever comes after a look wakes the task, and whatever came before is seen by the look.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    outcomes: Vec<(u64, Outcome)>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Puts what has come into `taken`, which is empty; the task of `waker` is woken at the next outcome.
    pub(crate) fn take(&self, taken: &mut Vec<(u64, Outcome)>, waker: &Waker) {
        // An earlier waker is dropped after the lock is let go: that may drop a task, with receipts of this very inbox.
        let _earlier = {
            let mut inner = self.0.lock();
            std::mem::swap(&mut inner.outcomes, taken);
            let known = inner.waker.as_ref();
            if known.is_some_and(|known| known.will_wake(waker)) {
                None
            } else {
                inner.waker.replace(waker.clone())
            }
        };
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
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
