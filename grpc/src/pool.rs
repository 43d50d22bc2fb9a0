//! The endpoints of one backend, and the choice among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linkgate_filter::backend::GrpcBackend;
use tokio::time::Instant;

use crate::breaker::BreakerRules;
use crate::connector::Connector;
use crate::endpoint::{Directory, Endpoint, Lease};
use crate::resolver::Resolver;

/// The endpoints of one backend.
pub struct Pool {
    resolver: Resolver,
    /// Opens the channels of its endpoints.
    pub connector: Arc<dyn Connector>,
    turn: AtomicUsize,
}

/// Why there is no endpoint for a try.
#[derive(Debug)]
pub enum NoEndpoint {
    /// No name has an address.
    NoAddress(String),
    /// Every breaker is open; the first lets a try through after so long.
    Resting(Duration),
}

impl Pool {
    /// Connects to nothing yet; endpoints that `directory` knows are taken up with their connections and breakers.
    pub fn new(
        backend: &GrpcBackend,
        connector: Arc<dyn Connector>,
        directory: Arc<Directory>,
    ) -> Self {
        Self {
            resolver: Resolver::new(backend, Arc::clone(&connector), directory),
            connector,
            turn: AtomicUsize::new(0),
        }
    }

    /// An endpoint for the next try: the one with the fewest calls in flight among those whose breaker allows it, one
    /// not tried before if possible. While no address is known yet, waits for one.
    pub async fn lease(
        &self,
        tried: &[Arc<Endpoint>],
        rules: BreakerRules,
        until: Instant,
    ) -> Result<Lease, NoEndpoint> {
        let endpoints = self.resolver.endpoints(until).await;
        let endpoints = endpoints.map_err(NoEndpoint::NoAddress)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = endpoints.len();
        let mut order: Vec<_> = endpoints
            .iter()
            .enumerate()
            .map(|(i, endpoint)| {
                let again = tried.iter().any(|other| Arc::ptr_eq(other, endpoint));
                let place = (i + count - turn % count) % count;
                (again, endpoint.in_flight(), place, endpoint)
            })
            .collect();
        order.sort_unstable_by_key(|(again, in_flight, place, _)| (*again, *in_flight, *place));
        let (now, mut soonest) = (Instant::now(), Duration::MAX);
        for (.., endpoint) in order {
            match endpoint.lease(now, rules) {
                Ok(lease) => return Ok(lease),
                Err(wait) => soonest = soonest.min(wait),
            }
        }
        Err(NoEndpoint::Resting(soonest))
    }

    /// An endpoint could not be reached: names are asked again soon.
    pub fn doubt(&self) {
        self.resolver.doubt();
    }
}
