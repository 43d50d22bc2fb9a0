//! The seam between pushes and wherever their receivers are.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{Command, Message, Outcome, Receipt};
use smallvec::SmallVec;

use super::message::Push;
use crate::link::{Journal, LinkHandle, LinkManager, User};

/// The ways to a user: mostly there is one.
pub type Ways = SmallVec<[Arc<dyn Way>; 2]>;

/// Finds the ways to users.
pub trait Receivers: Send + Sync + 'static {
    /// The ways to a user: to this device, or to all.
    fn find(&self, user: &User, device_id: Option<&str>) -> Ways;

    /// Where one may wait for users to come.
    fn journal(&self) -> &Arc<Journal>;
}

/// A way to a user, such as a link of this node.
pub trait Way: Send + Sync {
    /// Tells it from others, and is never another's.
    fn id(&self) -> u64;

    /// Sends a push on its way, without waiting. What becomes of it is told by the receipt, maybe before this returns.
    fn send(&self, push: &Push, expires_at: Option<Instant>, receipt: Receipt);
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
    fn id(&self) -> u64 {
        self.info().id
    }

    fn send(&self, push: &Push, expires_at: Option<Instant>, receipt: Receipt) {
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
