//! What the machine is told, and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::registry::{Mark, View};
use crate::edges::directory::{Claim, ClaimId, Incarnation, Life, Operation, Record, Shard, User};

/// Time by the node's own clock, which counts suspends.
pub type Time = Duration;

/// Something has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed: see [`Machine::next_timer`](super::Machine::next_timer).
    Tick,
    /// Of the registry.
    Registry(FromRegistry),
    /// Of other nodes.
    Peer(FromPeer),
    /// Of the directory.
    Directory(FromDirectory),
    /// Of this node's links.
    Link(OfLink),
    /// Of pushes that look for users.
    Push(OfPush),
}

/// What the registry says.
#[derive(Clone, Debug)]
pub enum FromRegistry {
    /// What stands there now.
    View(Arc<View>),
    /// It answers.
    Answers,
    /// It does not answer.
    Silent,
    /// A life of this node has begun.
    Booted(Incarnation),
    /// Another process lives, or lived, under this node's id: in this life.
    Taken(Incarnation),
    /// The registration that [`Action::Register`] asked for under this number stands.
    Stands(u64),
    /// The lease was kept alive. It was asked for then.
    KeptAlive(Time),
    /// This life of the node is not registered any more, as it has ended.
    Ended(Incarnation),
    /// The answer to [`Action::AskNewest`]; `None`: there is none.
    Newest(u64, Option<Mark>),
    /// The answer to [`Action::ReadView`].
    Read(u64, Option<Arc<View>>),
}

/// What another node says.
#[derive(Clone, Debug)]
pub enum FromPeer {
    /// It answers at its address.
    Answers(Incarnation),
    /// It does not.
    Silent(Incarnation),
    /// It has seen these lives end.
    Ended(Vec<Incarnation>),
    /// A newer claim has displaced this link of ours.
    Fence(Incarnation, User, ClaimId),
    /// Its link is fenced, or gone.
    Fenced(ClaimId),
    /// It asks for the links that a user has here.
    Ask(Incarnation, u64, User),
    /// The answer to [`Action::Ask`]; `None`: there is none.
    Told(Incarnation, u64, Option<Vec<Claim>>),
    /// It was sent to this link of ours, and did not find it.
    NotHere(User, Shard, ClaimId),
}

/// How users are spread over the shards of the directory.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    /// So many there are.
    pub shards: u16,
    /// In which shard the user of each link stands.
    pub links: Vec<(u64, Shard)>,
    /// In which shards those stand who are [looked for](super::Machine::looked_for).
    pub users: Vec<(User, Shard)>,
}

/// What the directory says.
#[derive(Clone, Debug)]
pub enum FromDirectory {
    /// Users are spread over its shards anew. What was asked before is not answered any more.
    Spread(Spread),
    /// The life that a shard is in; `None`: it does not answer.
    Life(Shard, Option<Life>),
    /// What stands after an operation, or why it failed, and how long that took.
    Answer(Shard, Tag, Result<Record, Failed>, Duration),
}

/// Why an operation of the directory failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failed {
    /// The shard is in another life, or another shard has the user. Nothing was done.
    OtherLife,
    /// It may have been done.
    Unknown,
}

/// Of which operation an answer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// A claim of this link, in this life of the node.
    Claim(u64, Incarnation),
    /// A look at the claim of a link, whether it still stands.
    Audit(u64),
    /// The links of a user.
    Find(User),
    /// Nobody waits for the answer.
    Nobody,
}

/// A link of this node.
#[derive(Clone, Debug)]
pub enum OfLink {
    /// It has come. It is not served yet.
    Came(NewLink),
    /// It has gone.
    Went(u64),
}

/// A link that has come.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// Its id.
    pub link: u64,
    /// Whose it is.
    pub user: User,
    /// Which part of the directory has the user.
    pub shard: Shard,
    /// Its device.
    pub device: Option<Arc<str>>,
    /// As many links may stand for this device.
    pub most: u32,
}

/// A push looks for its user, or gives up.
#[derive(Clone, Debug)]
pub enum OfPush {
    /// Look for the links of a user, for whoever has this ticket.
    Look(u64, User, Shard, Need),
    /// Whoever has this ticket needs no answer any more.
    Forget(u64),
    /// Say when the user comes.
    Await(User, Shard),
    /// No longer.
    Unawait(User),
}

/// What a push needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Whatever is found.
    Found,
    /// That there is nothing else, if nothing is found.
    CertainIfNone,
    /// That there is nothing else.
    Certain,
}

/// A node that has links of the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The node's life.
    pub incarnation: Incarnation,
    /// The links, as far as that is known.
    pub claims: Vec<Claim>,
}

/// How much is known of where a user's links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// More may be there, and nobody needs to know.
    Enough,
    /// These are all.
    Certain,
    /// There may be more: it cannot be known now.
    Unknown(Why),
}

/// Why it cannot be known whether a user has other links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The directory does not answer.
    Directory,
    /// The registry does not answer, or the view of it is behind.
    Registry,
    /// Some nodes' links are not all in the directory, and they do not say which they have.
    Nodes,
    /// An entry is of a newer version.
    Unreadable,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Begin a life of this node; `over`: in place of this one.
    Boot(Option<Incarnation>),
    /// Register this life of the node, with these lives of shards; the number is to be told when it stands.
    Register(u64, Incarnation, BTreeSet<Life>),
    /// End another node's life, unless it is registered.
    End(Arc<str>, Incarnation),
    /// Ask a majority how far the registry was written.
    AskNewest(u64),
    /// Read what stands in the registry, by a majority.
    ReadView(u64),
    /// See whether this node answers at its address.
    Probe(Incarnation),
    /// Tell all nodes that these lives have ended.
    TellEnded(Vec<Incarnation>),
    /// Tell a node that its link is displaced.
    Fence(Incarnation, User, ClaimId),
    /// Tell a node that the link is fenced, or gone.
    Fenced(Incarnation, ClaimId),
    /// Ask a node for the links that a user has there.
    Ask(Incarnation, u64, User),
    /// Answer such a question.
    Tell(Incarnation, u64, Vec<Claim>),
    /// Read which life a shard is in.
    ReadLife(Shard),
    /// Take an operation to a shard that is in this life.
    Run(Shard, Life, Operation, Tag),
    /// Serve a link.
    Serve(u64),
    /// Let a link go: another one has taken its place.
    Replace(u64),
    /// Let a link go: the directory does not answer.
    Refuse(u64),
    /// Let all links go: another process lives under this node's id.
    LetGo,
    /// Answer a ticket: more holders, and the verdict if it is the last answer.
    Found(u64, Vec<Holder>, Option<Verdict>),
    /// A user who is waited for may have come.
    Come(User),
    /// For whoever runs the node.
    Note(Note),
}

/// A change of state, for whoever runs the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A life of another node is over.
    Ended(Incarnation),
    /// A node is not registered and does not answer.
    Suspected(Incarnation),
    /// This node's life was ended by others; it begins another one.
    Reborn(Incarnation),
    /// This node did not run for so long: it asks whether it still lives before it claims.
    Paused(Time),
    /// It still lives.
    Confirmed,
    /// Links of this node may be missing in this part of the directory.
    Behind(Shard),
    /// All links of this node stand in this part of the directory.
    Asserted(Shard, Life),
    /// A node's links have been missing in the directory for a minute.
    Lags(Incarnation),
    /// A claim of this node was missing where it should have stood.
    Lost(Shard),
}
