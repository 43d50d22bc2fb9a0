//! The connections of an address for callers: backends that push, and operators. How many may be open, how many of
//! those may be strangers', how long one may take to say who it is, and how much of what has not come whole is kept.
//!
//! What may not enter: what is said over a connection, and who may call.

mod config;
pub(crate) mod credentials;
mod guest;
mod metrics;
mod seats;
mod tls;

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::sleep;

pub use self::config::{ConnectionLimits, Tls};
pub(crate) use self::guest::passed;
pub use self::guest::{Busy, Full, Guest, Held, Leaves, Seat};
use self::metrics::Counters;
pub(crate) use self::metrics::Reason;
pub use self::metrics::ReceptionMetrics;
use self::seats::Seats;
pub use self::tls::{Acceptor, TlsError};
use crate::network::{self, Connection, Socket};
use crate::telemetry::limit::Every;

/// Whether connections of callers that are known are closed when nothing is asked over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// They may stay: something else finds out whether their far end is alive.
    Stays,
    /// They go.
    Leaves,
}

/// Receives the connections of one address.
pub struct Reception {
    address: String,
    limits: ConnectionLimits,
    idle: Idle,
    seats: Mutex<Seats>,
    /// One for each connection that is not closed yet.
    open: Arc<Semaphore>,
    /// Bytes of requests that have not come whole.
    unfinished: AtomicUsize,
    counters: Counters,
    /// One for each reason, so that none hides another.
    lines: [Every; Reason::ALL.len()],
}

impl Reception {
    /// Connections beyond the limits that are being closed.
    const LEAVING: usize = 16;
    const PAUSE: Duration = Duration::from_millis(100);

    /// For the connections of this address.
    pub fn new(
        address: SocketAddr,
        limits: &ConnectionLimits,
        idle: Idle,
        metrics: &ReceptionMetrics,
    ) -> Arc<Self> {
        let address = address.to_string();
        let most = limits.max as usize + limits.strangers as usize + Self::LEAVING;
        Arc::new(Self {
            counters: metrics.of(&address),
            address,
            limits: limits.clone(),
            idle,
            seats: Mutex::new(Seats::new(limits)),
            open: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            unfinished: AtomicUsize::new(0),
            lines: Reason::ALL.map(|_| Every::new(Duration::from_secs(1))),
        })
    }

    /// The next connection. A stranger that is here already may have to leave for it. May be dropped and called again
    /// without losing one.
    pub async fn next(self: &Arc<Self>, socket: &Socket) -> (Connection, Seat) {
        loop {
            // Never closed.
            let Ok(permit) = Arc::clone(&self.open).acquire_owned().await else {
                continue;
            };
            match socket.accept().await {
                Ok((connection, peer)) => {
                    let _ = network::set_nodelay(&connection);
                    return (connection, Seat::take(self, peer, permit));
                }
                Err(error) => {
                    // Out of descriptors, most likely: trying again at once would only spin.
                    static LINE: Every = Every::new(Duration::from_secs(1));
                    if let Some(held_back) = LINE.pass() {
                        let address = &*self.address;
                        tracing::error!(address, %error, held_back, "cannot accept connections of callers: trying again");
                    }
                    sleep(Self::PAUSE).await;
                }
            }
        }
    }

    /// What an open connection may do.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Counts something that was refused, and says so in the log.
    fn refused(&self, reason: Reason, peer: SocketAddr, error: Option<&dyn Display>) {
        self.counters.refused(reason).inc();
        if let Some(held_back) = self.lines[reason as usize].pass() {
            let (address, why) = (&*self.address, reason.text());
            let error = error.map(tracing::field::display);
            tracing::warn!(address, %peer, error, held_back, "a caller was refused: {why}");
        }
    }
}

/// What counts as one client: an IPv6 client has a whole /64 to take addresses from.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
