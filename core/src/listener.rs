//! Addresses that accept links: bound by the room's config, they let clients in or refuse them, and hand what was let
//! in to a handler. A link's frames, queues and filters are not known here, nor is any pipeline: the handler finds it.

mod accept;
mod admission;
mod answer;
mod auth;
mod check;
pub mod config;
mod door;
mod extensions;
mod farewell;
mod forwarded;
mod handshake;
mod metrics;
mod origin;
mod proxy_protocol;
mod refusal;
mod subprotocol;
mod tls;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use linkgate_filter::Clock;
use linkgate_filter::problem::Problems;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::accept::Patience;
pub use self::admission::{Permit, Quota, QuotaPermit};
use self::config::ListenerConfig;
use self::door::{Door, Limits};
pub use self::handshake::Accepted;
use self::handshake::{NoLink, Why};
pub use self::metrics::ListenerMetrics;
pub use self::refusal::Refusal;
use crate::network::{Binding, Connection, Network, Socket};
use crate::telemetry::limit::Every;

/// Takes what a listener lets in.
pub trait Handler: Send + Sync + 'static {
    /// What serves a business on a listener.
    type Pipeline: Send + 'static;

    /// What serves this bizID on this listener; `None` refuses the client. Called once per handshake, after
    /// authentication; must not block.
    fn find(&self, listener: &str, biz_id: &str) -> Option<Offer<Self::Pipeline>>;

    /// Whether a bizID that nothing serves may be served later: its clients are to come again. Must not block.
    fn is_awaited(&self, biz_id: &str) -> bool;

    /// Whether the node wants traffic: what balancers are told that ask for the listener's health. Must not block.
    fn is_ready(&self) -> bool;

    /// Lives the link's life. Runs as a task of its own, which holds nothing of the handshake.
    fn link(
        self: Arc<Self>,
        accepted: Accepted<Self::Pipeline>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// What serves a business on a listener, and how many links it may have.
#[derive(Debug)]
pub struct Offer<P> {
    /// Handed on to the link.
    pub pipeline: P,
    /// The business's links, wherever they were let in.
    pub links: Arc<Quota>,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The config makes no sense.
    #[error("listener `{listener}`: {problems}")]
    Config {
        /// The listener's name.
        listener: String,
        /// What is wrong with it.
        problems: Problems,
    },
    /// The address cannot be bound.
    #[error("listener `{listener}` cannot listen on {address}: {source}")]
    Bind {
        /// The listener's name.
        listener: String,
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// An address that accepts links. The kernel queues connections from `bind` on; `run` takes them.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<Socket>,
    slots: Arc<Semaphore>,
    entrance: Arc<ArcSwap<Door>>,
}

/// Changes a running listener.
#[derive(Clone, Debug)]
pub struct Control(Arc<ArcSwap<Door>>);

impl Control {
    /// Prepares a changed config for what comes; open links and handshakes in progress keep theirs. Name, address,
    /// `reuse_port`, `backlog` and `max_handshakes` stay as they are: a change of those wants a new listener.
    ///
    /// # Errors
    /// All problems of the config.
    pub fn prepare(&self, config: &ListenerConfig) -> Result<Change, ListenError> {
        let door = self.0.load().changed(config);
        let door = door.map_err(|problems| ListenError::Config {
            listener: config.name.clone(),
            problems,
        })?;
        Ok(Change {
            control: self.clone(),
            door,
            limits: config.into(),
        })
    }
}

/// A prepared change of a listener.
#[derive(Debug)]
pub struct Change {
    control: Control,
    door: Door,
    limits: Limits,
}

impl Change {
    /// Makes the change.
    pub fn make(self) {
        self.door.limit(&self.limits);
        self.control.0.store(Arc::new(self.door));
    }
}

impl Listener {
    /// Prepares the config and binds the address. On the system's network it needs a running tokio runtime.
    ///
    /// # Errors
    /// The config has problems, or the address cannot be bound.
    pub fn bind(
        config: &ListenerConfig,
        metrics: &ListenerMetrics,
        (network, clock): (&Network, &Arc<dyn Clock>),
    ) -> Result<Self, ListenError> {
        let door = prepare(config, metrics, clock)?;
        let binding = Binding {
            backlog: config.backlog,
            reuse_port: config.reuse_port,
        };
        let socket = network
            .bind(config.address, binding)
            .map_err(|source| ListenError::Bind {
                listener: config.name.clone(),
                address: config.address,
                source,
            })?;
        Ok(Self::at(Arc::new(socket), door, config))
    }

    /// Accepts at the address of another listener, which is to end: no connection is turned away between the two.
    ///
    /// # Errors
    /// The config has problems.
    pub fn on(
        socket: Arc<Socket>,
        config: &ListenerConfig,
        metrics: &ListenerMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ListenError> {
        let door = prepare(config, metrics, clock)?;
        Ok(Self::at(socket, door, config))
    }

    fn at(socket: Arc<Socket>, door: Door, config: &ListenerConfig) -> Self {
        let slots = usize::try_from(config.admission.max_handshakes).unwrap_or(usize::MAX);
        Self {
            socket,
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            entrance: Arc::new(ArcSwap::from_pointee(door)),
        }
    }

    /// The address in use, for one that was bound with port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// A handle to change it while it runs.
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.entrance))
    }

    /// The bound address, for a listener that is to take this one's place. Who holds it keeps the address open.
    pub fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    /// Accepts until `stop` is cancelled, then closes the address and waits for the handshakes in progress, which end
    /// refused or timed out. Links are the handler's and go on.
    pub async fn run<H: Handler>(self, handler: Arc<H>, stop: CancellationToken) {
        let handshakes = TaskTracker::new();
        while let Some((connection, slot)) = stop.run_until_cancelled(self.next()).await {
            let door = self.entrance.load_full();
            handshakes.spawn(welcome(
                door,
                connection,
                slot,
                Arc::clone(&handler),
                stop.clone(),
            ));
        }
        drop(self.socket);
        handshakes.close();
        handshakes.wait().await;
    }

    /// The next connection, once there is room for its handshake.
    async fn next(&self) -> ((Connection, SocketAddr), Option<OwnedSemaphorePermit>) {
        // Never closed, so always `Ok`.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let mut patience = Patience::default();
        loop {
            match self.socket.accept().await {
                Ok(connection) => return (connection, slot),
                Err(error) => patience.after(&error, &self.entrance.load_full()).await,
            }
        }
    }
}

fn prepare(
    config: &ListenerConfig,
    metrics: &ListenerMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<Door, ListenError> {
    Door::prepare(config, metrics, clock).map_err(|problems| ListenError::Config {
        listener: config.name.clone(),
        problems,
    })
}

/// One connection's handshake, to its link's task or its refusal.
async fn welcome<H: Handler>(
    door: Arc<Door>,
    (stream, peer): (Connection, SocketAddr),
    slot: Option<OwnedSemaphorePermit>,
    handler: Arc<H>,
    stop: CancellationToken,
) {
    let started = Instant::now();
    let result = handshake::open(&door, handler.as_ref(), stream, peer.ip(), &stop).await;
    match result {
        Ok(accepted) => {
            door.counters.accepted.inc();
            door.counters
                .handshake_seconds
                .observe(started.elapsed().as_secs_f64());
            tokio::spawn(handler.link(accepted));
        }
        Err(NoLink {
            why,
            client,
            farewell,
        }) => {
            match why {
                Why::Refused(refusal) => {
                    door.counters.refused(refusal).inc();
                    log_refusal(&door.name, peer.ip(), client, refusal);
                }
                Why::Health => drop(door.counters.health_checks.inc()),
            }
            drop(slot);
            farewell.say(&door).await;
        }
    }
}

fn log_refusal(listener: &str, peer: IpAddr, client: IpAddr, refusal: Refusal) {
    // Whoever checks that a port is open does no more than this.
    if refusal == Refusal::Gone {
        return;
    }
    static LINE: Every = Every::new(Duration::from_secs(1));
    if let Some(held_back) = LINE.pass() {
        let reason = refusal.reason();
        tracing::info!(listener, %client, %peer, reason, held_back, "refused a connection");
    }
}

#[cfg(test)]
mod tests;
