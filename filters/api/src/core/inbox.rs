//! Where outcomes from other tasks reach a chain.

use std::task::Waker;

use parking_lot::Mutex;

use crate::receipt::{Outcome, Settler};

/// The mailbox of a chain's receipts. It holds at most one outcome per unsettled message, so it needs no bound of its
/// own and settling never waits.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    outcomes: Vec<(u64, Outcome)>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Takes what has come; the task of `waker` is woken at the next outcome.
    pub(crate) fn take(&self, waker: &Waker) -> Vec<(u64, Outcome)> {
        let mut inner = self.0.lock();
        if !inner
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            inner.waker = Some(waker.clone());
        }
        std::mem::take(&mut inner.outcomes)
    }
}

impl Settler for Inbox {
    fn settle(&self, number: u64, outcome: Outcome) {
        let waker = {
            let mut inner = self.0.lock();
            inner.outcomes.push((number, outcome));
            inner.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
