//! What other nodes say to this one, and what they forward here.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use linkgate_filter::Clock;
use parking_lot::Mutex;

use super::inbox::{Inbox, News};
use super::machine::{Event, FromPeer};
use super::peers::{Answer, Forwarded, Hears};
use super::registry::Incarnation;
use super::report::ByHand;
use crate::link::User;
use crate::push::{Ear, Hear, Push, ReceiverOutcome, Router, Status, Weighed};

/// Hears for a node.
pub(super) struct Hearing {
    pub(super) inbox: Arc<Inbox>,
    /// Questions of people to other nodes.
    pub(super) by_hand: Arc<ByHand>,
    pub(super) clock: Arc<dyn Clock>,
    /// To this node's own links.
    pub(super) router: Mutex<Option<Router>>,
    /// The last push that was forwarded, as the router has it: the deliveries of one share it.
    pub(super) last: Mutex<(Weak<Push>, Weak<Weighed>)>,
}

impl Hearing {
    fn weighed(&self, router: &Router, push: &Arc<Push>) -> Result<Arc<Weighed>, ReceiverOutcome> {
        let mut last = self.last.lock();
        if std::ptr::eq(last.0.as_ptr(), Arc::as_ptr(push))
            && let Some(weighed) = last.1.upgrade()
        {
            return Ok(weighed);
        }
        let admitted = router.admit(Push::clone(push));
        let weighed = admitted.map_err(|fault| ReceiverOutcome {
            status: Status::Rejected,
            reason: Some(fault),
        })?;
        *last = (Arc::downgrade(push), Arc::downgrade(&weighed));
        Ok(weighed)
    }
}

impl Hears for Hearing {
    fn answers(&self, peer: Incarnation) {
        self.said(FromPeer::Answers(peer));
    }

    fn silent(&self, peer: Incarnation) {
        self.said(FromPeer::Silent(peer));
    }

    fn said(&self, mut said: FromPeer) {
        if let FromPeer::Told(_, number, claims) = &mut said
            && self.by_hand.told(*number, claims)
        {
            return;
        }
        self.inbox.tell(Event::Peer(said));
    }

    fn deliver(&self, _: Incarnation, delivery: Forwarded, answer: Answer) {
        let Some(router) = self.router.lock().clone() else {
            return;
        };
        let weighed = match self.weighed(&router, &delivery.push) {
            Ok(weighed) => weighed,
            Err(refused) => return answer.settle(refused),
        };
        let (parking, push, user) = (router.clone(), Arc::clone(&weighed), delivery.user.clone());
        answer.when_parked(move || parking.park(&push, &user.1));
        let answering = Arc::new(Answering {
            inbox: Arc::clone(&self.inbox),
            delivery: Mutex::new(Some((delivery, answer))),
        });
        let user = {
            let delivery = answering.delivery.lock();
            delivery.as_ref().map(|(delivery, _)| delivery.user.clone())
        };
        let Some(user) = user else {
            return;
        };
        let ear = Ear::new(Arc::clone(&answering) as _, 0);
        let left = |at: SystemTime| at.duration_since(self.clock.wall()).unwrap_or_default();
        let expires_at = weighed.expires_at.map(|at| self.clock.now() + left(at));
        if let Some(known) = router.forwarded(&weighed, &user, expires_at, ear) {
            answering.hear(0, known);
        }
    }
}

/// Answers one delivery.
struct Answering {
    inbox: Arc<Inbox>,
    delivery: Mutex<Option<(Forwarded, Answer)>>,
}

impl Hear for Answering {
    fn hear(&self, _: u64, outcome: ReceiverOutcome) {
        let Some((delivery, answer)) = self.delivery.lock().take() else {
            return;
        };
        if outcome.status == Status::Offline {
            for claim in delivery.claims {
                let user: User = delivery.user.clone();
                self.inbox.put(News::NotHere(user, claim));
            }
        }
        answer.settle(outcome);
    }
}
