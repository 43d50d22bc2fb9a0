//! The directory: which links a user has, on which nodes, in a store that all nodes share.
//!
//! It is a hint and a fence, never the truth: that is the table of the node that holds the link. An entry is a
//! [`Claim`]. What may not enter: who reads it and what is made of it, and what a node is.

mod entries;
pub mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::{EdgeError, EdgeFailure};
use tokio::sync::watch;

/// A business and a user of it.
pub type User = (Arc<str>, Arc<str>);

/// One life of a node: as long as the key of its boot in the registry has this revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// The registry's own id: a restored one has another.
    pub registry: u64,
    /// The revision of the registry at which the node's boot was written. No two boots share one.
    pub revision: u64,
}

/// A link, among those of all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    /// The life of the node that holds the link.
    pub incarnation: Incarnation,
    /// The link's id there.
    pub link: u64,
}

/// The entry of one link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose it is.
    pub id: ClaimId,
    /// The link's device.
    pub device: Option<Arc<str>>,
    /// Rises with each claim of the user.
    pub epoch: u64,
    /// Whether the link is there, or may come back.
    pub state: ClaimState,
}

/// How it stands with the link of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimState {
    /// It is open.
    Online,
    /// It is gone, and its session may be resumed.
    Resumable,
}

/// What the directory has of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// The highest epoch that was given.
    pub epoch: u64,
    /// In their order: by epoch, then by id.
    pub claims: Vec<Claim>,
    /// Claims that newer ones have displaced, and whose holders have not confirmed that yet.
    pub displaced: Vec<Claim>,
    /// Some entry cannot be read, as a newer version has written it: there may be more claims than these.
    pub is_partial: bool,
}

/// A part of the directory that is lost or kept as one, such as what one primary of a Redis Cluster serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// For how long a shard has had its data without a gap: another value says that there may have been one. Never comes
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u64);

/// Which shard has which users. Another one takes its place when shards come, go, or exchange users.
pub trait Topology: Send + Sync {
    /// How many shards there are: they are numbered from 0.
    fn shards(&self) -> u16;

    /// Who has this user.
    fn shard(&self, user: &User) -> Shard;
}

/// What is asked of a shard. Each operation is atomic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Enters a link, or confirms it; the answer is what stands then.
    Claim(ClaimOf),
    /// Takes out this very claim, whatever its state.
    Release(User, ClaimId),
    /// The link of this very claim is gone; its session may be resumed.
    Park(User, ClaimId),
    /// Reads what stands.
    Find(User),
    /// These claims are displaced no more: their holders have confirmed it, or are no more.
    Confirm(User, Vec<ClaimId>),
}

/// A link that is to be entered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimOf {
    /// Whose link.
    pub user: User,
    /// Which.
    pub id: ClaimId,
    /// Its device.
    pub device: Option<Arc<str>>,
    /// `Some`: it has been claimed before and keeps this epoch, and the user's epoch becomes no less. `None`: the user's
    /// epoch rises, and is its own.
    pub epoch: Option<u64>,
    /// By how much the epoch rises.
    pub raise: u64,
    /// As many claims may stand for this device, at least one; the ones beyond it that are least in order are displaced,
    /// be it this one.
    pub most: u32,
    /// The user is forgotten so long after the last claim.
    pub keep: Duration,
}

/// As many claims of a user stand; beyond it the ones that are least in order are displaced.
pub const MOST_CLAIMS: usize = 1024;

/// As many claims of a user that were displaced are kept; beyond it the ones that are least in order are forgotten, and
/// their holders hear of it only when they claim again.
pub const MOST_DISPLACED: usize = 64;

/// Epochs, links and revisions are less than this, by which scripts of Redis still count exactly.
pub const END_OF_NUMBERS: u64 = 1 << 53;

/// Why a shard was not asked, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryError {
    /// It has begun another life.
    OtherLife,
    /// The users are spread in another way since.
    Moved,
    /// The store failed. Operations may have taken effect.
    Store(EdgeError),
}

impl Claim {
    /// The place among the user's claims: the newest are the highest.
    pub fn order(&self) -> (u64, ClaimId) {
        (self.epoch, self.id)
    }
}

impl Record {
    pub(super) fn sort(&mut self) {
        self.claims.sort_unstable_by_key(Claim::order);
        self.displaced.sort_unstable_by_key(Claim::order);
    }
}

impl Operation {
    /// Whose links it is about.
    pub fn user(&self) -> &User {
        match self {
            Self::Claim(claim) => &claim.user,
            Self::Release(user, _)
            | Self::Park(user, _)
            | Self::Find(user)
            | Self::Confirm(user, _) => user,
        }
    }

    /// Whether its numbers can be counted. If not, it is a fault of this program, and nothing is taken anywhere.
    pub(super) fn check(&self) -> Result<(), DirectoryError> {
        let Self::Claim(claim) = self else {
            return Ok(());
        };
        let id = claim.id;
        let numbers = [
            ("epoch", claim.epoch.unwrap_or(0)),
            ("raise of the epoch", claim.raise),
            ("link id", id.link),
            ("revision of the registry", id.incarnation.revision),
        ];
        let over = numbers.iter().find(|(_, number)| *number >= END_OF_NUMBERS);
        over.map_or(Ok(()), |(what, number)| {
            let what = format!("the {what} {number} is not less than {END_OF_NUMBERS}");
            let refused = EdgeError::new(EdgeFailure::Refused, what);
            Err(DirectoryError::Store(refused))
        })
    }
}

/// What an operation has come to. Only `Claim` and `Find` answer what stands; the others with an empty record.
pub type Answer = Result<Record, DirectoryError>;

/// The directory.
pub trait Directory: Send + Sync {
    /// How users are spread; `None` until that is known.
    fn topology(&self) -> watch::Receiver<Option<Arc<dyn Topology>>>;

    /// The life that a shard is in now, by whoever answers for it now.
    fn life(&self, shard: Shard) -> BoxFuture<'static, Result<Life, DirectoryError>>;

    /// Takes operations to a shard in one round trip, in their order, if whoever answers for it was last seen in this
    /// `life`: none is taken to another one. An answer for each: what stands after it, or why that one failed, which the
    /// others do not.
    ///
    /// They may be taken there twice. If all fail as one, some may have been done.
    fn run(
        &self,
        shard: Shard,
        life: Life,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Result<Vec<Answer>, DirectoryError>>;
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.registry, self.revision)
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
