//! Connections between nodes, which stall and break.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_core::network::MemoryNetwork;
use linkgate_grpc::{Address, ConnectError, Connector, Io};
use parking_lot::Mutex;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What a connection holds of what its other end has not read, in bytes.
const BUFFER: usize = 64 * 1024;

/// How two nodes reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Open,
    /// Nothing gets through, and nobody is told.
    Stalled,
    /// Connections break, and there are no new ones.
    Broken,
}

/// The connections between nodes. Clones are the same.
#[derive(Clone)]
pub(crate) struct Wires {
    pub(crate) network: MemoryNetwork,
    runtime: Handle,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Which node has an address.
    nodes: BTreeMap<SocketAddr, usize>,
    /// Of pairs of nodes, the lesser one first.
    ways: BTreeMap<(usize, usize), watch::Sender<Way>>,
}

impl Inner {
    fn way(&mut self, one: usize, other: usize) -> &watch::Sender<Way> {
        let pair = (one.min(other), one.max(other));
        self.ways.entry(pair).or_default()
    }
}

impl Wires {
    pub(crate) fn new(network: MemoryNetwork, runtime: Handle) -> Self {
        Self {
            network,
            runtime,
            inner: Arc::default(),
        }
    }

    /// A node has this address.
    pub(crate) fn is_at(&self, node: usize, address: SocketAddr) {
        self.inner.lock().nodes.insert(address, node);
    }

    /// Nobody has it any more.
    pub(crate) fn is_gone(&self, address: SocketAddr) {
        self.inner.lock().nodes.remove(&address);
    }

    pub(crate) fn set(&self, one: usize, other: usize, way: Way) {
        self.inner.lock().way(one, other).send_replace(way);
    }

    /// How a node reaches others.
    pub(crate) fn of(&self, node: usize) -> Arc<dyn Connector> {
        Arc::new(OfNode {
            node,
            wires: self.clone(),
        })
    }
}

struct OfNode {
    node: usize,
    wires: Wires,
}

impl OfNode {
    fn connect_to(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let mut inner = self.wires.inner.lock();
        let Some(node) = inner.nodes.get(&to).copied() else {
            return async { Err(io::ErrorKind::ConnectionRefused.into()) }.boxed();
        };
        let way = inner.way(self.node, node).subscribe();
        drop(inner);
        let now = *way.borrow();
        match now {
            Way::Stalled => return pending().boxed(),
            Way::Broken => return async { Err(io::ErrorKind::ConnectionReset.into()) }.boxed(),
            Way::Open => {}
        }
        let from = SocketAddr::new(to.ip(), 50_000);
        let far = match self.wires.network.dial(to, from) {
            Ok(far) => far,
            Err(error) => return async { Err(error) }.boxed(),
        };
        let (near, this_end) = duplex(BUFFER);
        self.wires.runtime.spawn(carry(this_end, far, way));
        async { Ok(Box::new(near) as Box<dyn Io>) }.boxed()
    }
}

async fn carry(mut one: DuplexStream, mut other: DuplexStream, mut way: watch::Receiver<Way>) {
    let mut carries = pin!(copy_bidirectional(&mut one, &mut other));
    loop {
        let now = *way.borrow_and_update();
        let changed = match now {
            Way::Broken => return,
            Way::Stalled => way.changed().await,
            Way::Open => tokio::select! {
                biased;
                changed = way.changed() => changed,
                _ = &mut carries => return,
            },
        };
        if changed.is_err() {
            return;
        }
    }
}

impl Connector for OfNode {
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let authority = address.uri.authority().map(ToString::to_string);
        let to = authority.unwrap_or_default().parse();
        let to: SocketAddr = to.expect("nodes are known by addresses");
        let connected = self.connect_to(to);
        Box::pin(async move { Ok(connected.await?) })
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let address = format!("{host}:{port}").parse();
        Box::pin(async move { Ok(vec![address.map_err(io::Error::other)?]) })
    }
}
