//! The seam between pushes and wherever their receivers are.

use std::sync::{Arc, Weak};
use std::time::Instant;

use linkgate_filter::{Command, Fault, Message, Outcome, Receipt};
use smallvec::SmallVec;

use super::flights::Weighed;
use crate::link::{Journal, LinkHandle, LinkManager, User};

/// The ways to a user: mostly there is one.
pub type Ways = SmallVec<[Arc<dyn Way>; 2]>;

/// Finds the ways to users.
pub trait Receivers: Send + Sync + 'static {
    /// The ways to a user that end at this node's own links: to this device, or to all.
    fn find(&self, user: &User, device_id: Option<&str>) -> Ways;

    /// Where one may wait for users to come.
    fn journal(&self) -> &Arc<Journal>;

    /// Looks for ways to a user beyond this node's own links: to this device, or to all. `None`: there is nothing beyond
    /// them. `seeker` is told what is found, maybe before this returns, and then how much is known. Those who look for one
    /// user are told of ways in the order in which they began to look: pushes are sent by them as they are told. Called
    /// within a runtime; may not wait.
    fn look(
        &self,
        user: &User,
        device_id: Option<&str>,
        need: Need,
        seeker: Seeker,
    ) -> Option<Box<dyn Search>> {
        let _ = (user, device_id, need, seeker);
        None
    }
}

/// A search for ways to a user. It ends when this is dropped; its seeker hears nothing more then.
pub trait Search: Send + Sync {}

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

/// How much is known of the ways to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There may be more, and nobody needs to know.
    Enough,
    /// Those that were told are all.
    Certain,
    /// There may be more: it cannot be known now, for this reason.
    Unknown(Fault),
}

/// Hears what searches find, each under its number.
pub trait Seek: Send + Sync {
    /// There are these ways too.
    fn found(&self, search: u32, ways: Ways);

    /// The search is over.
    fn ended(&self, search: u32, verdict: Verdict);
}

/// Whoever has begun a search. If it is dropped without a verdict, nothing is known.
pub struct Seeker {
    to: Weak<dyn Seek>,
    search: u32,
    is_told: bool,
}

impl Seeker {
    /// `to` hears of it, as this search.
    pub fn new(to: Weak<dyn Seek>, search: u32) -> Self {
        Self {
            to,
            search,
            is_told: false,
        }
    }

    /// Tells of ways. What is to be sent by them is sent before this returns.
    pub fn found(&self, ways: Ways) {
        if let Some(to) = self.to.upgrade() {
            to.found(self.search, ways);
        }
    }

    /// Tells that these were all, or why not.
    pub fn end(mut self, verdict: Verdict) {
        self.tell(verdict);
    }

    /// Whether nobody wants to know any more.
    pub fn is_gone(&self) -> bool {
        self.to.strong_count() == 0
    }

    fn tell(&mut self, verdict: Verdict) {
        if !std::mem::replace(&mut self.is_told, true)
            && let Some(to) = self.to.upgrade()
        {
            to.ended(self.search, verdict);
        }
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        self.tell(Verdict::Unknown(
            Fault::gateway("push.search_given_up").detail("the search was given up"),
        ));
    }
}

/// Tells ways to a user from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WayId {
    /// A link of this node.
    Here(u64),
    /// The links of a user at another node: they are others as soon as there is a newer one.
    Elsewhere {
        /// The life of the node.
        incarnation: (u64, u64),
        /// The newest of the links.
        newest: u64,
    },
}

/// A way to a user: a link of this node, or all links at another one.
pub trait Way: Send + Sync {
    /// Tells it from others, and is never another's.
    fn id(&self) -> WayId;

    /// Sends a push on its way, without waiting. What becomes of it is told by the receipt, maybe before this returns. A push
    /// to many receivers is one for all of them.
    fn send(&self, push: &Arc<Weighed>, expires_at: Option<Instant>, receipt: Receipt);

    /// The push that was sent by it was parked: it goes on, and may count for no limit where it is now.
    fn park(&self, push: &Arc<Weighed>) {
        let _ = push;
    }
}

impl Receivers for LinkManager {
    fn find(&self, user: &User, device_id: Option<&str>) -> Ways {
        let links = LinkManager::find(self, user, device_id).into_iter();
        links.map(|link| link as Arc<dyn Way>).collect()
    }

    fn journal(&self) -> &Arc<Journal> {
        LinkManager::journal(self)
    }
}

impl Way for LinkHandle {
    fn id(&self) -> WayId {
        WayId::Here(self.info().id)
    }

    fn send(&self, push: &Arc<Weighed>, expires_at: Option<Instant>, receipt: Receipt) {
        let info = Arc::clone(self.info());
        let body = push.body.clone();
        let mut message = Message::new(info, Command::DownstreamMessage, &*push.key, body);
        message.ack = push.ack;
        message.expires_at = expires_at;
        if let Err((message, fault)) = self.push(message.with_receipt(receipt)) {
            message.settle(Outcome::from_fault(fault));
        }
    }
}
