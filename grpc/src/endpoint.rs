//! One address of a backend: its connection, the calls in flight there, its breaker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::address::Address;
use crate::breaker::{Breaker, BreakerRules, Change, Pass, Refusal, Sign};
use crate::channel::Channel;
use crate::connector::Connector;
use crate::queue::Queue;

/// One address of a backend.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    in_flight: AtomicUsize,
    breaker: Breaker,
    /// Opened at first use, and anew after it could not be reached, so that changed certificates are read.
    channel: Mutex<Option<(u64, Channel)>>,
    channels: AtomicUsize,
    queue: Arc<Queue<Self, Lease>>,
}

impl Endpoint {
    fn new(address: Address, queue: Arc<Queue<Self, Lease>>) -> Self {
        Self {
            address,
            in_flight: AtomicUsize::new(0),
            breaker: Breaker::default(),
            channel: Mutex::default(),
            channels: AtomicUsize::new(0),
            queue,
        }
    }

    /// Tries under way there.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The leave to make one try here, or why there is none.
    pub(crate) fn lease(
        self: &Arc<Self>,
        now: Instant,
        rules: BreakerRules,
    ) -> Result<Lease, Refusal> {
        let pass = self.breaker.admit(now, &rules)?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Lease {
            endpoint: Arc::clone(self),
            pass,
            rules,
            channel: 0,
            ended: false,
        })
    }
}

/// One try at an endpoint: counted as in flight while it lives.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    pass: Pass,
    rules: BreakerRules,
    /// The number of the channel it uses; 0 before it has one.
    channel: u64,
    ended: bool,
}

impl Lease {
    /// Where the try is made.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint's channel. Connects with its first call.
    pub fn channel(&mut self, connector: &Arc<dyn Connector>) -> Channel {
        let mut held = self.endpoint.channel.lock();
        if let Some((number, channel)) = &*held {
            self.channel = *number;
            return channel.clone();
        }
        let channel = Channel::new(&self.endpoint.address, connector);
        self.channel = self.endpoint.channels.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        *held = Some((self.channel, channel.clone()));
        channel
    }

    /// The connection has failed: the next call opens a new channel. Answers whether this try is the first to say so.
    pub fn forget_channel(&self) -> bool {
        let mut held = self.endpoint.channel.lock();
        let opened = self.channel > 0;
        let current = held
            .as_ref()
            .is_some_and(|(number, _)| *number == self.channel);
        if current {
            *held = None;
        }
        current || !opened
    }

    /// Tells the breaker how the try ended, and makes room for those who wait.
    pub fn end(&mut self, sign: &Sign) -> Change {
        let endpoint = &self.endpoint;
        if !std::mem::replace(&mut self.ended, true) {
            endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
            let now = Instant::now();
            let change = endpoint.breaker.record(&self.pass, sign, now, &self.rules);
            if change.opened {
                // Those who wait look how long they would have to.
                endpoint.queue.look();
            } else {
                let lease = |rules| endpoint.lease(Instant::now(), rules).ok();
                endpoint.queue.serve(endpoint, lease);
            }
            return change;
        }
        Change::default()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(&Sign::Nothing);
    }
}

/// The endpoints in use by a business, so that a changed pipeline finds their connections and breakers again. Holds none
/// alive by itself.
#[derive(Debug, Default)]
pub struct Directory {
    endpoints: Mutex<Vec<Weak<Endpoint>>>,
    pub(crate) queue: Arc<Queue<Endpoint, Lease>>,
}

impl Directory {
    /// The endpoint at this address with these settings: the one in use, or a new one.
    pub fn endpoint(&self, address: &Address) -> Arc<Endpoint> {
        let mut held = self.endpoints.lock();
        held.retain(|endpoint| endpoint.strong_count() > 0);
        let known = held
            .iter()
            .filter_map(Weak::upgrade)
            .find(|endpoint| endpoint.address == *address);
        known.unwrap_or_else(|| {
            let endpoint = Arc::new(Endpoint::new(address.clone(), Arc::clone(&self.queue)));
            held.push(Arc::downgrade(&endpoint));
            endpoint
        })
    }
}
