//! The streams that there are, and who is there.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use linkgate_proto::v1;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::opened::Opened;
use super::serving::Serving;
use super::{Around, Hears, tls, wire};
use crate::cluster::config::PeersConfig;
use crate::cluster::machine::FromPeer;
use crate::edges::directory::Incarnation;
use crate::reception::Acceptor;
use crate::reception::credentials::Known;
use crate::telemetry::limit::Every;

pub(super) struct Inner {
    pub(super) config: PeersConfig,
    pub(super) around: Around,
    pub(super) address: SocketAddr,
    pub(super) advertised: String,
    pub(super) tls: Option<tls::Client>,
    pub(super) acceptor: Acceptor,
    pub(super) nodes_by_token: Known<()>,
    pub(super) nodes_by_name: Known<()>,
    pub(super) hears: Arc<dyn Hears>,
    pub(super) state: Mutex<State>,
    /// Open streams with each node. Whoever changes that tells it with the lock, so that it is told in order.
    pub(super) streams: Mutex<BTreeMap<Incarnation, usize>>,
    /// Deliveries so far.
    pub(super) deliveries: AtomicU64,
    pub(super) lines: Every,
}

/// In the order of lives, so that the same is done in the same order.
#[derive(Default)]
pub(super) struct State {
    /// The life of this node, and what ends its streams.
    pub(super) own: Option<(Incarnation, CancellationToken)>,
    pub(super) known: BTreeMap<Incarnation, String>,
    pub(super) opened: BTreeMap<Incarnation, Arc<Opened>>,
    pub(super) served: BTreeMap<Incarnation, Arc<Serving>>,
    /// Lives that have ended: the latest.
    pub(super) ended: VecDeque<Incarnation>,
}

impl Inner {
    /// The way to a node, opened if it is not. `None`: there is none, as nobody knows the node, or this one has no life.
    pub(super) fn opened(self: &Arc<Self>, to: Incarnation) -> Option<Arc<Opened>> {
        let mut state = self.state.lock();
        if let Some(opened) = state.opened.get(&to) {
            return Some(Arc::clone(opened));
        }
        let (own, stop) = state.own.clone().filter(|(own, _)| *own != to)?;
        let address = state.known.get(&to)?.clone();
        let opened = Opened::new(self, to, address);
        state.opened.insert(to, Arc::clone(&opened));
        let run = Arc::clone(&opened).run(Arc::clone(self), own, stop);
        self.around.tasks.spawn(run);
        Some(opened)
    }

    pub(super) fn serving(&self, of: Incarnation) -> Option<Arc<Serving>> {
        self.state.lock().served.get(&of).cloned()
    }

    /// The way to a node has ended for good.
    pub(super) fn forget(&self, opened: &Arc<Opened>) {
        let mut state = self.state.lock();
        if let Some(known) = state.opened.get(&opened.to)
            && Arc::ptr_eq(known, opened)
        {
            state.opened.remove(&opened.to);
        }
    }

    /// Takes in a stream that this node has opened, in place of an older one of it; and says who this node is.
    pub(super) fn accept(&self, from: Incarnation) -> Result<(Arc<Serving>, Incarnation), Status> {
        let mut state = self.state.lock();
        let Some((own, stop)) = state.own.clone() else {
            return Err(Status::unavailable("this node is not of the cluster now"));
        };
        if own == from {
            return Err(Status::invalid_argument(
                "this node has that incarnation itself",
            ));
        }
        let largest = self.config.max_body.as_usize();
        let serving = Serving::new(from, stop.child_token(), &self.around.clock, largest);
        if let Some(former) = state.served.insert(from, Arc::clone(&serving)) {
            former.stop.cancel();
        }
        self.grant(&state);
        Ok((serving, own))
    }

    /// A stream that was taken in has ended.
    pub(super) fn left(&self, serving: &Arc<Serving>) {
        let mut state = self.state.lock();
        if let Some(known) = state.served.get(&serving.from)
            && Arc::ptr_eq(known, serving)
        {
            state.served.remove(&serving.from);
            self.grant(&state);
        }
    }

    /// Shares the room for bodies among the streams that are open.
    pub(super) fn grant(&self, state: &State) {
        let share = self.config.budget.bytes() / state.served.len().max(1) as u64;
        for serving in state.served.values() {
            serving.grant(share.max(1));
        }
    }

    /// A stream with this node has opened.
    pub(super) fn found(&self, peer: Incarnation) {
        let mut streams = self.streams.lock();
        *streams.entry(peer).or_default() += 1;
        self.hears.answers(peer);
    }

    /// A stream with this node has ended, or none could be opened.
    pub(super) fn lost(&self, peer: Incarnation, was_open: bool) {
        let mut streams = self.streams.lock();
        if was_open && let Some(open) = streams.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&peer);
            }
        }
        if !streams.contains_key(&peer) {
            self.hears.silent(peer);
        }
    }

    pub(super) fn said_ended(&self, lives: Vec<Incarnation>) {
        if !lives.is_empty() {
            self.hears.said(FromPeer::Ended(lives));
        }
    }

    /// What this node says first.
    pub(super) fn hello(&self, own: Incarnation) -> v1::PeerHello {
        let ended: Vec<_> = self.state.lock().ended.iter().copied().collect();
        v1::PeerHello {
            incarnation: Some(wire::to_incarnation(own)),
            node: self.around.node.to_string(),
            address: self.advertised.clone(),
            protocol: wire::PROTOCOL,
            oldest_protocol: wire::OLDEST_PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ended: wire::to_ended(&ended),
            max_body: self.config.max_body.bytes(),
        }
    }
}
