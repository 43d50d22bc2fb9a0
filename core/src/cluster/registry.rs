//! The registry: which nodes there are, and in which life each is.
//!
//! A node writes two keys. `boots/{node}` begins a life: the revision of that write is the [`Incarnation`], and it lives
//! as long as the key has it. `nodes/{node}` says what others need to know, under a lease. What may not enter: what is
//! made of either.

mod record;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

pub use self::record::{Load, NodeRecord, NodeState};
pub use crate::edges::directory::Incarnation;

/// What stands in the registry, at a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// The registry's own id: a restored one has another.
    pub registry: u64,
    /// All that was written up to this revision is in it.
    pub revision: u64,
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
    /// This stands there, under a lease that lasts for so long from when it was asked for.
    Stands(Arc<NodeRecord>),
    /// The lease was kept alive: it was asked for at this instant.
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

/// The registry does not answer or refuses; what to do, for the one who runs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryError(pub String);

/// The registry.
pub trait Registry: Send + Sync {
    /// Follows it until the receiver is dropped. Views are complete: all that one transaction wrote is in one of them, or
    /// none of it.
    fn follow(&self) -> mpsc::Receiver<Told>;

    /// Begins a life of a node. `over`: in place of this one, which the caller has found dead.
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

    /// The revision of the latest write that still stands, asked of a majority: whoever has a view of this revision or a
    /// later one had missed nothing when it asked.
    fn newest(&self) -> BoxFuture<'static, Result<u64, RegistryError>>;

    /// What stands there, asked of a majority.
    fn read(&self) -> BoxFuture<'static, Result<Arc<View>, RegistryError>>;

    /// Keeps a node registered with what `record` holds, under a lease that is granted anew when it is lost, as long as the
    /// life stands and the receiver is held. Writes of one node never overtake one another: a write that may have been taken is
    /// confirmed before the next.
    fn register(
        &self,
        incarnation: Incarnation,
        lease: Duration,
        record: watch::Receiver<Arc<NodeRecord>>,
    ) -> mpsc::Receiver<Registered>;
}
