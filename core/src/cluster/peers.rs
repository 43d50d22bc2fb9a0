//! What the nodes of a cluster say to each other: one stream a pair of nodes and direction, opened by whoever has something to
//! say, and kept.
//!
//! ```text
//! opened.rs, sending.rs   the streams that this node opens: it asks, fences, forwards pushes
//! server.rs, serving.rs   those that others open: they are answered
//! inner.rs                which streams there are
//! frames.rs, wire.rs      frames on a stream, and what they mean
//! tls.rs                  TLS with the node that is dialled
//! ```
//!
//! What may not enter: which nodes there are, what is made of what they say, and what becomes of a push.

mod frames;
mod inner;
mod opened;
mod sending;
mod server;
mod serving;
mod tls;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use linkgate_filter::{Clock, Receipt};
use linkgate_grpc::Connector;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::inner::Inner;
use self::sending::Delivery;
pub use self::serving::{Answer, Forwarded};
use self::wire::MOST_ENDED;
use super::config::PeersConfig;
use super::machine::FromPeer;
use crate::edges::directory::{Claim, ClaimId, Incarnation, User};
use crate::network::{Binding, Network};
use crate::push::Push;
use crate::reception::credentials::Known;
use crate::reception::{Acceptor, Idle, Reception, ReceptionMetrics, TlsError};
use crate::telemetry::limit::Every;

/// The call of `PeerService`.
const PATH: &str = "/linkgate.v1.PeerService/Talk";

/// Hears what other nodes say. Called by the streams' tasks, and maybe before a method of [`Peers`] returns: it hands on what
/// it hears and does not wait. [`answers`](Self::answers) and [`silent`](Self::silent) may not call [`Peers`].
pub trait Hears: Send + Sync + 'static {
    /// A stream with this node has opened, or is open.
    fn answers(&self, peer: Incarnation);

    /// No stream with this node is open, and the last attempt to open one has failed.
    fn silent(&self, peer: Incarnation);

    /// Something was said: an end, a fence or its answer, a question or its answer.
    fn said(&self, said: FromPeer);

    /// A push is forwarded here. What becomes of it goes to `answer`.
    fn deliver(&self, from: Incarnation, delivery: Forwarded, answer: Answer);
}

/// What peers work with.
pub struct Around {
    /// The node's id.
    pub node: Arc<str>,
    /// Where the address is bound.
    pub network: Network,
    /// How other nodes are dialled. It brings TCP; TLS is the peers' own.
    pub connector: Arc<dyn Connector>,
    /// Tells when pushes expire.
    pub clock: Arc<dyn Clock>,
    /// Ends all streams.
    pub stop: CancellationToken,
    /// Where the streams run.
    pub tasks: TaskTracker,
    /// Counts connections.
    pub metrics: ReceptionMetrics,
}

/// Why other nodes are not served.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The address cannot be served on.
    #[error(
        "cannot serve other nodes on {address}: {source}; is another process using the address?"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificates are of no use.
    #[error("the certificates in `peers.tls` are of no use: {0}")]
    Tls(#[from] TlsError),
}

/// Names a delivery to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(u64);

/// The other nodes. Clones are the same.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

impl Peers {
    /// Binds the address and serves other nodes once this node [`is`](Self::is) in a life. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The address is not free, or the certificates are of no use.
    pub fn bind(
        config: &PeersConfig,
        around: Around,
        hears: Arc<dyn Hears>,
    ) -> Result<Self, PeersError> {
        let address = config.address;
        let failed = |source| PeersError::Bind { address, source };
        let (tls, acceptor) = match &config.tls {
            None => (None, Acceptor::new(None, "h2")?),
            Some(tls) => (
                Some(tls::Client::new(tls)?),
                Acceptor::new(Some(&tls.server()), "h2")?,
            ),
        };
        let socket = around.network.bind(address, Binding::default());
        let socket = socket.map_err(failed)?;
        let address = socket.local_address().map_err(failed)?;
        let name = config.tls.as_ref().and_then(|tls| tls.name.as_deref());
        let token = config.token.as_ref();
        let limits = config.connections();
        // Nodes may be silent for long: pings tell which of them are gone.
        let reception = Reception::new(address, &limits, Idle::Stays, &around.metrics);
        let (stop, tasks) = (around.stop.clone(), around.tasks.clone());
        let inner = Arc::new(Inner {
            address,
            advertised: config
                .advertise
                .clone()
                .unwrap_or_else(|| address.to_string()),
            tls,
            acceptor,
            nodes_by_token: Known::new(token.map(|token| (Some(token), None, ())).into_iter()),
            nodes_by_name: Known::new(name.map(|name| (None, Some(name), ())).into_iter()),
            hears,
            state: Mutex::default(),
            streams: Mutex::default(),
            deliveries: AtomicU64::new(0),
            lines: Every::new(Duration::from_secs(1)),
            config: config.clone(),
            around,
        });
        tasks.spawn(server::listen(Arc::clone(&inner), socket, reception, stop));
        Ok(Self(inner))
    }

    /// The address bound, with the port that the network chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Where other nodes reach this one.
    pub fn advertised(&self) -> &str {
        &self.0.advertised
    }

    /// From now on this node is in this life. Streams of a former one end; without one there are none.
    pub fn is(&self, own: Option<Incarnation>) {
        let mut state = self.0.state.lock();
        if state.own.as_ref().map(|(own, _)| *own) == own {
            return;
        }
        if let Some((_, streams)) = state.own.take() {
            streams.cancel();
        }
        state.opened.clear();
        state.served.clear();
        state.own = own.map(|own| (own, self.0.around.stop.child_token()));
    }

    /// These nodes are there, at these addresses. Streams that this node has opened to others end after a while.
    pub fn know(&self, peers: impl Iterator<Item = (Incarnation, String)>) {
        let mut state = self.0.state.lock();
        state.known = peers.collect();
        for (life, opened) in &state.opened {
            let address = state.known.get(life).cloned();
            opened.address.send_if_modified(|known| {
                let is_other = *known != address;
                *known = address;
                is_other
            });
        }
    }

    /// Opens a stream to a node if there is none, at once. Whether it answers is heard.
    pub fn dial(&self, to: Incarnation) {
        let Some(opened) = self.0.opened(to) else {
            return self.0.lost(to, false);
        };
        let streams = self.0.streams.lock();
        if streams.contains_key(&to) {
            self.0.hears.answers(to);
        }
        drop(streams);
        opened.dial.notify_one();
    }

    /// Tells all nodes that these lives have ended, and those that come.
    pub fn ended(&self, lives: &[Incarnation]) {
        let mut state = self.0.state.lock();
        for life in lives {
            state.ended.retain(|ended| ended != life);
            state.ended.push_back(*life);
        }
        let beyond = state.ended.len().saturating_sub(MOST_ENDED);
        state.ended.drain(..beyond);
        let opened: Vec<_> = state.opened.values().cloned().collect();
        let served: Vec<_> = state.served.values().cloned().collect();
        drop(state);
        for opened in opened {
            opened.sending.lock().ended(lives);
            opened.more.notify_one();
        }
        for serving in served {
            serving.ended(lives);
        }
    }

    /// Tells a node that its link is displaced.
    pub fn fence(&self, to: Incarnation, user: &User, claim: ClaimId) {
        if let Some(opened) = self.0.opened(to) {
            opened.sending.lock().fence(user, claim);
            opened.more.notify_one();
        }
    }

    /// Tells a node that a link of this one is fenced, or gone.
    pub fn fenced(&self, to: Incarnation, claim: ClaimId) {
        if let Some(serving) = self.0.serving(to) {
            serving.fenced(claim);
        }
    }

    /// Asks a node for the links that a user has there. The answer is heard, also that there is none.
    pub fn ask(&self, to: Incarnation, number: u64, user: &User) {
        let opened = self.0.opened(to);
        let is_asked = opened.is_some_and(|opened| {
            let is_asked = opened.sending.lock().ask(number, user);
            opened.more.notify_one();
            is_asked
        });
        if !is_asked {
            self.0.hears.said(FromPeer::Told(to, number, None));
        }
    }

    /// Answers such a question of another node.
    pub fn tell(&self, to: Incarnation, number: u64, claims: &[Claim]) {
        if let Some(serving) = self.0.serving(to) {
            serving.tell(number, claims);
        }
    }

    /// Forwards a push to a node that has links of the user, found by these claims. Never waits: the outcome settles the
    /// receipt, maybe before this returns. Deliveries of one push, by the same `Arc`, cross with one body. Those to one node
    /// keep their order.
    pub fn deliver<P>(
        &self,
        to: Incarnation,
        push: &Arc<P>,
        expires_at: Option<Instant>,
        (user, claims): (&User, &[ClaimId]),
        receipt: Receipt,
    ) -> DeliveryId
    where
        P: Deref<Target = Push> + Send + Sync + 'static,
    {
        let delivery = Delivery {
            push: Arc::clone(push) as sending::Shared,
            expires_at,
            user: Arc::clone(&user.1),
            claims: claims.to_vec(),
            receipt,
        };
        let taken = match self.0.opened(to) {
            None => Err(delivery.fails()),
            Some(opened) => {
                let taken = opened.sending.lock().deliver(delivery, &self.0.deliveries);
                opened.more.notify_one();
                taken
            }
        };
        match taken {
            Ok(number) => DeliveryId(number),
            Err((receipt, outcome)) => {
                receipt.settle(outcome);
                DeliveryId(0)
            }
        }
    }

    /// Tells a node that nobody waits for a delivery any more.
    pub fn park(&self, to: Incarnation, delivery: DeliveryId) {
        let opened = self.0.state.lock().opened.get(&to).cloned();
        if let Some(opened) = opened {
            opened.sending.lock().park(delivery.0);
            opened.more.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
