//! Those who wait until an endpoint has room. First come, first served: what gets free goes to them at once, before anybody
//! who comes later can take it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::breaker::BreakerRules;

/// The queue of all pools that share endpoints: during a change of the configuration there are two. As long as its pools'
/// callers wait at a time.
#[derive(Debug)]
pub(crate) struct Queue<E, L>(Mutex<VecDeque<Waiting<E, L>>>);

#[derive(Debug)]
struct Waiting<E, L> {
    /// Any of these will do.
    endpoints: Weak<[Arc<E>]>,
    rules: BreakerRules,
    to: oneshot::Sender<Told<L>>,
}

/// What one who waits is told.
#[derive(Debug)]
pub(crate) enum Told<L> {
    Go(L),
    /// Something has changed: how long it takes, or which endpoints there are.
    Look,
}

impl<E, L> Default for Queue<E, L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E, L> Queue<E, L> {
    pub(crate) fn join(
        &self,
        endpoints: &Arc<[Arc<E>]>,
        rules: BreakerRules,
    ) -> oneshot::Receiver<Told<L>> {
        let (to, told) = oneshot::channel();
        let mut queue = self.0.lock();
        while queue.front().is_some_and(|first| first.to.is_closed()) {
            queue.pop_front();
        }
        queue.push_back(Waiting {
            endpoints: Arc::downgrade(endpoints),
            rules,
            to,
        });
        told
    }

    /// Gives the room that an endpoint has, as `lease` says, to those who came first.
    pub(crate) fn serve(&self, endpoint: &Arc<E>, lease: impl Fn(BreakerRules) -> Option<L>) {
        while let Some(first) = self.first(endpoint) {
            match lease(first.rules) {
                // If the other one has just gone, the lease ends here, and serves the next.
                Some(lease) => drop(first.to.send(Told::Go(lease))),
                None => {
                    self.0.lock().push_front(first);
                    return;
                }
            }
        }
    }

    /// Has all who wait look anew.
    pub(crate) fn look(&self) {
        for waiting in std::mem::take(&mut *self.0.lock()) {
            let _ = waiting.to.send(Told::Look);
        }
    }

    fn first(&self, endpoint: &Arc<E>) -> Option<Waiting<E, L>> {
        let mut queue = self.0.lock();
        let place = queue.iter().position(|waiting| {
            let endpoints = waiting.endpoints.upgrade();
            let is_one = |own: Arc<[_]>| own.iter().any(|own| Arc::ptr_eq(own, endpoint));
            !waiting.to.is_closed() && endpoints.is_some_and(is_one)
        })?;
        queue.remove(place)
    }
}
