//! The machine that decides for one node: which lives there are, what is claimed and fenced, and what is known of where
//! users are.
//!
//! It does nothing itself: [`Machine::step`] is told what has happened and answers with what is to be done. So all that a
//! cluster promises can be tried here, in every order of events, without a clock and without a network. Answers may be
//! late, lost or doubled; nothing is taken for granted but this node's own table of links. What may not enter: any I/O.

mod event;
mod fences;
mod links;
mod lookups;
mod members;
mod shards;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use self::event::{
    Action, Event, Failed, FromDirectory, FromPeer, FromRegistry, Holder, Need, NewLink, Note,
    OfLink, OfPush, Spread, Tag, Time, Verdict, Why,
};
use self::fences::Fences;
use self::links::Links;
use self::lookups::Lookups;
use self::members::Members;
use self::shards::Shards;
use crate::edges::directory::{Claim, Incarnation, Life, User};

/// What a machine goes by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// This node's id.
    pub node: Arc<str>,
    /// The name of this process.
    pub instance: Arc<str>,
    /// Where other nodes reach it.
    pub peer: Arc<str>,
    /// How long a registration lasts after it was last kept alive.
    pub lease: Duration,
    /// So long a node must be unregistered and silent before its life is ended.
    pub suspect_for: Duration,
    /// So long the links of a node that is gone count as links that may come back.
    pub resume_for: Duration,
    /// How long the directory keeps a user after the last claim.
    pub keep: Duration,
    /// Links are served while the directory does not answer.
    pub admits: bool,
    /// As many users who are waited for are looked for in a second, at most.
    pub looks_per_second: u32,
}

impl Settings {
    /// A view that is behind is waited for so long.
    const VIEW_WAIT: Duration = Duration::from_secs(2);
    /// A node that is asked has so long to answer.
    const ASK_WAIT: Duration = Duration::from_millis(500);
    /// As many nodes are asked for one user.
    const MOST_ASKED: usize = 8;
    /// What does not answer is tried again after this.
    const RETRY: Duration = Duration::from_millis(500);
    /// By so much epochs rise while claims may be missing: lost ones stay below.
    const JUMP: u64 = 1000;
    /// A node whose links are missing for so long is told of.
    const LAG: Duration = Duration::from_secs(60);
    /// One claim of each shard is looked at so often.
    const AUDIT: Duration = Duration::from_secs(10);

    /// By its own clock a node's registration is over so long after it was last asked for. A new leader of etcd gives
    /// every lease its whole time anew, so one change of leaders is in it.
    fn lease_is_over_after(&self) -> Duration {
        self.lease * 2 + Duration::from_secs(2)
    }

    /// A node that has not run for so long may have been given up by others.
    fn pause(&self) -> Duration {
        self.lease.min(self.suspect_for / 2)
    }

    /// Claims are confirmed again after this, well before they end.
    fn touch(&self) -> Duration {
        self.keep / 2
    }
}

/// What one node knows of the cluster, and decides by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    settings: Settings,
    members: Members,
    shards: Shards,
    links: Links,
    fences: Fences,
    lookups: Lookups,
    now: Time,
    out: Vec<Action>,
}

impl Machine {
    /// A node that begins now.
    pub fn new(settings: Settings, now: Time) -> Self {
        Self {
            members: Members::new(),
            shards: Shards::default(),
            links: Links::default(),
            fences: Fences::default(),
            lookups: Lookups::default(),
            settings,
            now,
            out: Vec::new(),
        }
    }

    /// This node's life; `None` while it has none.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.members.own()
    }

    /// The lives of the directory's shards, in order; `None`: one does not answer.
    pub fn lives(&self) -> Vec<Option<Life>> {
        self.shards.lives()
    }

    /// The links that a user has at this node.
    pub fn claims(&self, user: &User) -> Vec<Claim> {
        let own = self.members.own();
        own.map_or_else(Vec::new, |own| self.links.claims(user, own))
    }

    /// The users who are looked for, or waited for.
    pub fn looked_for(&self) -> Vec<User> {
        self.lookups.looked_for()
    }

    /// Takes in what has happened. What is to be done for it is to be done in this order.
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Action> {
        let before = self.now;
        self.now = before.max(now);
        self.has_run(before);
        match event {
            Event::Tick => {}
            Event::Registry(event) => self.registry_says(event),
            Event::Peer(event) => self.peer_says(event),
            Event::Directory(event) => self.directory_says(event),
            Event::Link(event) => self.link_changes(event),
            Event::Push(event) => self.push_asks(event),
        }
        self.watch_members();
        self.move_fences();
        self.move_lookups();
        self.move_shards();
        std::mem::take(&mut self.out)
    }

    /// When to call [`step`](Self::step) at the latest. A machine that has a life looks often enough to notice that it was
    /// stopped for a while.
    pub fn next_timer(&self) -> Option<Time> {
        let looks = self
            .members
            .own()
            .map(|_| self.now + self.settings.pause() / 3);
        let timers = [
            looks,
            self.members_timer(),
            self.shards_timer(),
            self.fences.next_timer(),
            self.lookups_timer(),
        ];
        timers.into_iter().flatten().min()
    }

    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn note(&mut self, note: Note) {
        self.act(Action::Note(note));
    }
}
