//! Those who wait until an endpoint has room. First come, first served: what gets free goes to them at once, before anybody
//! who comes later can take it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::breaker::BreakerRules;
use crate::endpoint::{Endpoint, Lease};

/// The queue of all pools that share endpoints: during a change of the configuration there are two. As long as its pools'
/// callers wait at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<VecDeque<Waiting>>);

#[derive(Debug)]
struct Waiting {
    /// Any of these will do.
    endpoints: Weak<[Arc<Endpoint>]>,
    rules: BreakerRules,
    to: oneshot::Sender<Told>,
}

/// What one who waits is told.
#[derive(Debug)]
pub(crate) enum Told {
    Go(Lease),
    /// Something has changed: how long it takes, or which endpoints there are.
    Look,
}

impl Queue {
    pub(crate) fn join(
        &self,
        endpoints: &Arc<[Arc<Endpoint>]>,
        rules: BreakerRules,
    ) -> oneshot::Receiver<Told> {
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

    /// Gives the room that an endpoint has to those who came first.
    pub(crate) fn serve(&self, endpoint: &Arc<Endpoint>) {
        while let Some(first) = self.first(endpoint) {
            match endpoint.lease(Instant::now(), first.rules) {
                // If the other one has just gone, the lease ends here, and serves the next.
                Ok(lease) => drop(first.to.send(Told::Go(lease))),
                Err(_) => {
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

    fn first(&self, endpoint: &Arc<Endpoint>) -> Option<Waiting> {
        let mut queue = self.0.lock();
        let place = queue.iter().position(|waiting| {
            let endpoints = waiting.endpoints.upgrade();
            let is_one = |own: Arc<[_]>| own.iter().any(|own| Arc::ptr_eq(own, endpoint));
            !waiting.to.is_closed() && endpoints.is_some_and(is_one)
        })?;
        queue.remove(place)
    }
}
