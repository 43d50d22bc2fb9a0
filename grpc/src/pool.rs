//! The endpoints of one backend, and the choice among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linkgate_filter::backend::GrpcBackend;
use tokio::time::{Instant, timeout_at};

use crate::breaker::{BreakerRules, Refusal};
use crate::connector::Connector;
use crate::endpoint::{Directory, Endpoint, Lease};
use crate::queue::{Queue, Told};
use crate::resolver::Resolver;

/// The endpoints of one backend.
pub struct Pool {
    resolver: Resolver,
    /// Opens the channels of its endpoints.
    pub connector: Arc<dyn Connector>,
    turn: AtomicUsize,
    /// Of those who wait for a try to end.
    queue: Arc<Queue<Endpoint, Lease>>,
}

/// The leave to make one try.
#[derive(Debug)]
pub struct Leased {
    /// The leave.
    pub lease: Lease,
    /// It had to be waited for.
    pub waited: bool,
}

/// Why there is no endpoint for a try.
#[derive(Debug)]
pub enum NoEndpoint {
    /// No name has an address.
    NoAddress(String),
    /// Every breaker is open; the first lets a try through after so long.
    Resting(Duration),
    /// As many tries are under way as the endpoints can bear.
    Full,
}

impl Pool {
    /// Connects to nothing yet; endpoints that `directory` knows are taken up with their connections and breakers.
    pub fn new(
        backend: &GrpcBackend,
        connector: Arc<dyn Connector>,
        directory: Arc<Directory>,
    ) -> Self {
        Self {
            queue: Arc::clone(&directory.queue),
            resolver: Resolver::new(backend, Arc::clone(&connector), directory),
            connector,
            turn: AtomicUsize::new(0),
        }
    }

    /// An endpoint for the next try: the one with the fewest calls in flight among those whose breaker allows it, one
    /// not tried before if possible. Waits for an address, for room and for a breaker's rest, as far as they may come in
    /// time.
    pub async fn lease(
        &self,
        tried: &[Arc<Endpoint>],
        rules: BreakerRules,
        until: Instant,
    ) -> Result<Leased, NoEndpoint> {
        let mut waited = false;
        let mut listening = None;
        loop {
            let endpoints = self.resolver.endpoints(until).await;
            let endpoints = endpoints.map_err(NoEndpoint::NoAddress)?;
            let refused = match self.choose(&endpoints, tried, rules) {
                Ok(lease) => return Ok(Leased { lease, waited }),
                Err(refused) => refused,
            };
            let Some(told) = listening.take() else {
                // What ends between a look and the wait is heard of.
                listening = Some(self.queue.join(&endpoints, rules));
                continue;
            };
            let now = Instant::now();
            if refused.is_hopeless(until - now) {
                return Err(refused.into());
            }
            waited = true;
            let wake = refused.rest.map_or(until, |rest| (now + rest).min(until));
            if let Ok(Ok(Told::Go(lease))) = timeout_at(wake, told).await {
                return Ok(Leased { lease, waited });
            }
        }
    }

    fn choose(
        &self,
        endpoints: &[Arc<Endpoint>],
        tried: &[Arc<Endpoint>],
        rules: BreakerRules,
    ) -> Result<Lease, Refused> {
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
        let (now, mut refused) = (Instant::now(), Refused::default());
        for (.., endpoint) in order {
            match endpoint.lease(now, rules) {
                Ok(lease) => return Ok(lease),
                Err(refusal) => refused.add(refusal),
            }
        }
        Err(refused)
    }

    /// An endpoint could not be reached: names are asked again soon.
    pub fn doubt(&self) {
        self.resolver.doubt();
    }
}

/// What the endpoints say together that gave no leave.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    /// The shortest rest.
    rest: Option<Duration>,
    /// The rest that follows if the probes under way fail.
    next_rest: Option<Duration>,
    full: bool,
}

impl Refused {
    fn add(&mut self, refusal: Refusal) {
        let shorter = |known: Option<Duration>, rest| Some(known.map_or(rest, |k| k.min(rest)));
        match refusal {
            Refusal::Resting(rest) => self.rest = shorter(self.rest, rest),
            Refusal::Probing(rest) => self.next_rest = shorter(self.next_rest, rest),
            Refusal::Full => self.full = true,
        }
    }

    /// Nothing can come within this time.
    fn is_hopeless(&self, time: Duration) -> bool {
        let in_time = self.rest.is_some_and(|rest| rest < time);
        time.is_zero() || !(self.full || self.next_rest.is_some() || in_time)
    }
}

impl From<Refused> for NoEndpoint {
    fn from(refused: Refused) -> Self {
        if refused.full {
            return Self::Full;
        }
        Self::Resting(refused.rest.or(refused.next_rest).unwrap_or_default())
    }
}
