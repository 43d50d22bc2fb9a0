//! The registry in etcd.

mod keys;
mod life;
mod register;
mod told;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use self::keys::Keys;
use self::told::{FollowsBoots, FollowsNodes, Joined};
use super::{Boot, BootError, Mark, NodeRecord, Registered, Registry, RegistryError, Told, View};
use crate::edges::directory::Incarnation;
use crate::edges::etcd::{Connection, EtcdError, EtcdSource, Mirror, Timing};

/// The registry in etcd. Connects with the first call.
pub struct EtcdRegistry {
    etcd: Arc<Etcd>,
}

/// What all calls share.
struct Etcd {
    connection: Arc<Connection>,
    keys: Keys,
    timing: Timing,
}

impl EtcdRegistry {
    /// The one below the prefix of `source`, which has to be without problems. What nodes say of themselves stands where
    /// `nodes` and the id of a node lead; default: `nodes/` below the prefix.
    pub fn new(source: EtcdSource, nodes: Option<&str>) -> Self {
        Self::with_timing(source, nodes, Timing::default())
    }

    /// The same with another timing.
    pub fn with_timing(source: EtcdSource, nodes: Option<&str>, timing: Timing) -> Self {
        let keys = Keys::new(&source.prefix, nodes);
        let mut connection = Connection::new(source);
        if let Some(nodes) = nodes {
            connection = connection.with_keys_below(nodes);
        }
        let etcd = Etcd {
            keys,
            connection: Arc::new(connection),
            timing,
        };
        Self {
            etcd: Arc::new(etcd),
        }
    }
}

impl From<EtcdError> for RegistryError {
    fn from(error: EtcdError) -> Self {
        Self(error.to_string())
    }
}

impl Registry for EtcdRegistry {
    fn follow(&self) -> mpsc::Receiver<Told> {
        let (told, receiver) = mpsc::channel(1);
        let etcd = Arc::clone(&self.etcd);
        tokio::spawn(async move { etcd.follow(told).await });
        receiver
    }

    fn boot(
        &self,
        node: &str,
        boot: &Boot,
        over: Option<Incarnation>,
    ) -> BoxFuture<'static, Result<Incarnation, BootError>> {
        let (etcd, node, instance) = (
            Arc::clone(&self.etcd),
            node.to_owned(),
            Arc::clone(&boot.instance),
        );
        async move { etcd.boot(&node, &instance, over).await }.boxed()
    }

    fn end(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<bool, RegistryError>> {
        let (etcd, node) = (Arc::clone(&self.etcd), node.to_owned());
        async move { etcd.end(&node, incarnation).await }.boxed()
    }

    fn leave(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<(), RegistryError>> {
        let (etcd, node) = (Arc::clone(&self.etcd), node.to_owned());
        async move { etcd.leave(&node, incarnation).await }.boxed()
    }

    fn newest(&self) -> BoxFuture<'static, Result<Mark, RegistryError>> {
        let etcd = Arc::clone(&self.etcd);
        async move { etcd.newest().await }.boxed()
    }

    fn read(&self) -> BoxFuture<'static, Result<Arc<View>, RegistryError>> {
        let etcd = Arc::clone(&self.etcd);
        async move { etcd.read().await }.boxed()
    }

    fn register(
        &self,
        incarnation: Incarnation,
        lease: Duration,
        record: watch::Receiver<Arc<NodeRecord>>,
    ) -> mpsc::Receiver<Registered> {
        register::start(Arc::clone(&self.etcd), incarnation, lease, record)
    }
}

impl Etcd {
    async fn follow(&self, told: mpsc::Sender<Told>) {
        let joined = Joined::default();
        let (connection, keys, joined) = (&self.connection, &self.keys, &joined);
        let boots = FollowsBoots { keys, joined };
        let nodes = FollowsNodes { keys, joined };
        tokio::select! {
            never = connection.follow(keys.boots(), self.timing, &boots) => match never {},
            never = connection.follow(keys.nodes(), self.timing, &nodes) => match never {},
            () = joined.tell(&told) => {}
            () = told.closed() => {}
        }
    }

    async fn newest(&self) -> Result<Mark, RegistryError> {
        let ranges = [self.keys.boots(), self.keys.nodes()];
        let (origin, newest) = self.connection.newest(&ranges).await?;
        let revision = |range: usize| newest.get(range).map_or(0, |revision| unsigned(*revision));
        Ok(Mark {
            registry: origin.cluster,
            boots: revision(0),
            nodes: revision(1),
        })
    }

    async fn read(&self) -> Result<Arc<View>, RegistryError> {
        let ranges = [self.keys.boots(), self.keys.nodes()];
        let listings = self.connection.ranges(&ranges).await?;
        let [boots, nodes] = &*listings else {
            return Err(RegistryError("etcd has answered something else".to_owned()));
        };
        let boots = Mirror::new(boots, |key, value| self.keys.read_boot(key, value));
        let nodes = Mirror::new(nodes, |key, value| self.keys.read_node(key, value));
        let view = told::join(&told::boots(&boots), &told::nodes(&nodes));
        // They are of one answer.
        Ok(Arc::new(view.unwrap_or_default()))
    }
}

/// Revisions are never negative.
fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}
