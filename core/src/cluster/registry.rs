//! The registry: which nodes there are, and in which life each is.
//!
//! A node writes two keys. `boots/{node}` begins a life: the revision of that write is the [`Incarnation`], and it lives
//! as long as the key has it. `nodes/{node}` says what others need to know, under a lease. What may not enter: what is
//! made of either.

#[cfg(feature = "etcd")]
mod etcd;
mod memory;
mod record;
#[cfg(test)]
mod suite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

#[cfg(feature = "etcd")]
pub use self::etcd::EtcdRegistry;
pub use self::memory::{Kept, MemoryRegistry, RegistryHandle, Way};
pub use self::record::{Load, NodeRecord, NodeState};
pub use crate::edges::directory::Incarnation;

/// How far the registry was written, or is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The registry's own id: a restored one has another.
    pub registry: u64,
    /// All of `boots/` up to this revision.
    pub boots: u64,
    /// All of `nodes/` up to this revision.
    pub nodes: u64,
}

impl Mark {
    /// Whether nothing up to `other` is missing here.
    pub fn covers(&self, other: &Self) -> bool {
        self.registry == other.registry && self.boots >= other.boots && self.nodes >= other.nodes
    }
}

/// What stands in the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// All that was written up to here is in it. It may be less than that of the view before, after a restore.
    pub mark: Mark,
    /// The lives that have begun and not ended.
    pub boots: BTreeMap<Incarnation, Boot>,
    /// What nodes say of themselves, by their ids. May be of a life that has ended.
    pub nodes: BTreeMap<Arc<str>, Arc<NodeRecord>>,
}

/// A life of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Boot {
    /// The node's id.
    pub node: Arc<str>,
    /// A random name of the process, which tells it from another with the same node id.
    pub instance: Arc<str>,
}

/// What whoever follows the registry is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// What stands there now. Of several that have not been read only the latest counts.
    View(Arc<View>),
    /// It answers.
    Answers,
    /// It does not answer, and why, for the one who runs it. Told at each attempt.
    Silent(String),
}

/// What a node's registration has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Registered {
    /// This stands there, under a lease.
    Stands(Arc<NodeRecord>),
    /// The lease was granted or kept alive, and lasts for so long from when that was asked for: at this instant.
    KeptAlive(tokio::time::Instant),
    /// It may stand there or not: the registry does not answer. It is tried again.
    Unknown(String),
    /// The life has ended: another one has begun, or somebody has ended it. Nothing is written any more.
    Ended,
}

/// Why a life does not begin.
#[derive(Debug)]
pub enum BootError {
    /// A life of this node stands already.
    Taken(Incarnation, Boot),
    /// The registry does not answer or refuses.
    Registry(RegistryError),
}

impl From<RegistryError> for BootError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// The registry does not answer or refuses; what to do, for the one who runs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryError(pub String);

/// The registry.
pub trait Registry: Send + Sync {
    /// Follows it until the receiver is dropped. What one transaction wrote to boots is in one view or not at all, and so is
    /// what it wrote to nodes; between the two the [`Mark`] says what is still on its way.
    fn follow(&self) -> mpsc::Receiver<Told>;

    /// Begins a life of a node. `over`: in place of this one, which the caller has found dead. Asked again after no answer,
    /// with the same instance, it gives the life that the first attempt began.
    fn boot(
        &self,
        node: &str,
        boot: &Boot,
        over: Option<Incarnation>,
    ) -> BoxFuture<'static, Result<Incarnation, BootError>>;

    /// Ends a life that is not registered: its boot still stands, and `nodes/{node}` is not of it. Says whether it has
    /// ended, by this or before.
    fn end(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<bool, RegistryError>>;

    /// Ends a life of one's own: it leaves.
    fn leave(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<(), RegistryError>>;

    /// The latest writes that still stand, asked of a majority: whoever has a view that covers this had missed nothing but
    /// removals when it asked.
    fn newest(&self) -> BoxFuture<'static, Result<Mark, RegistryError>>;

    /// What stands there, asked of a majority.
    fn read(&self) -> BoxFuture<'static, Result<Arc<View>, RegistryError>>;

    /// Keeps a node registered with what `record` holds, under a lease that is granted anew when it is lost, as long as the
    /// life stands and the receiver is held; then the lease runs out. Writes of one node never overtake one another: one that
    /// may have been taken can not be taken later than the next.
    fn register(
        &self,
        incarnation: Incarnation,
        lease: Duration,
        record: watch::Receiver<Arc<NodeRecord>>,
    ) -> mpsc::Receiver<Registered>;
}
