//! The directory on Redis: one hash a user. One server, a master that sentinels know, or each primary of a Cluster is a
//! shard, with a connection of its own: operations go only where a life was read before.

mod cluster;
mod commands;
mod entry;
mod life;
mod primary;
mod slots;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use linkgate_filter::{EdgeError, EdgeFailure};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::cluster::Cluster;
use self::primary::{Common, Primary};
use self::slots::Whole;
use super::connection::{Connections, unusable};
use crate::edges::config::RedisConfig;
use crate::edges::directory::{
    Answer, Directory, DirectoryError, Life, Operation, Shard, Topology,
};
use crate::edges::words::Words;

/// What all keys of a directory begin with.
const PREFIX: &str = "linkgate";

/// How users are spread, for whoever wants to know.
type Spreading = watch::Sender<Option<Arc<dyn Topology>>>;

/// A directory on Redis.
pub(crate) struct RedisDirectory {
    shards: Shards,
}

enum Shards {
    One(Arc<Primary>, Spreading),
    /// With the task that keeps its map, from when somebody asks.
    Cluster(Arc<Cluster>, OnceLock<AbortOnDropHandle<()>>),
}

impl RedisDirectory {
    /// Connects with the first operation.
    pub(crate) fn new(name: &str, config: &RedisConfig) -> Result<Self, String> {
        let words = Words::of("Redis", name);
        let common = Arc::new(Common::new(&words, PREFIX, config));
        let shards = if config.cluster.is_empty() {
            let connections = Arc::new(Connections::new(config)?);
            let whole: Arc<dyn Topology> = Arc::new(Whole);
            Shards::One(
                Arc::new(Primary::new(&common, connections, None)),
                watch::Sender::new(Some(whole)),
            )
        } else {
            let cluster = Cluster::new(&common, config).map_err(|error| unusable(&error))?;
            Shards::Cluster(Arc::new(cluster), OnceLock::new())
        };
        Ok(Self { shards })
    }
}

impl Shards {
    /// Keeps the map from now on.
    fn begin(&self) {
        if let Self::Cluster(cluster, follower) = self {
            let follow = || AbortOnDropHandle::new(tokio::spawn(Arc::clone(cluster).follow()));
            follower.get_or_init(follow);
        }
    }

    /// Whoever answers for a shard.
    fn primary(&self, shard: Shard) -> Result<Arc<Primary>, DirectoryError> {
        match self {
            Self::One(primary, _) if shard.0 == 0 => Ok(Arc::clone(primary)),
            Self::One(..) => Err(DirectoryError::Moved),
            Self::Cluster(cluster, _) => cluster.primary(shard.0).ok_or_else(|| {
                let topology = cluster.topology().borrow();
                match &*topology {
                    Some(topology) if shard.0 >= topology.shards() => DirectoryError::Moved,
                    Some(_) => unreachable("no primary of the cluster serves these slots"),
                    None => unreachable("it is not known yet who serves what in the cluster"),
                }
            }),
        }
    }
}

fn unreachable(what: &str) -> DirectoryError {
    DirectoryError::Store(EdgeError::new(EdgeFailure::Unreachable, what))
}

impl Directory for RedisDirectory {
    fn topology(&self) -> watch::Receiver<Option<Arc<dyn Topology>>> {
        self.shards.begin();
        match &self.shards {
            Shards::One(_, topology) => topology.subscribe(),
            Shards::Cluster(cluster, _) => cluster.topology().subscribe(),
        }
    }

    fn life(&self, shard: Shard) -> BoxFuture<'static, Result<Life, DirectoryError>> {
        self.shards.begin();
        let primary = self.shards.primary(shard);
        Box::pin(async move { primary?.life().await })
    }

    fn run(
        &self,
        shard: Shard,
        life: Life,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Result<Vec<Answer>, DirectoryError>> {
        let primary = self.shards.primary(shard);
        Box::pin(async move { primary?.run(life, &operations).await })
    }
}

#[cfg(test)]
mod tests;
