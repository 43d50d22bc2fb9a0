//! A table of links for the tests of this room: a link keeps its pushes for the test to settle.

mod elsewhere;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use linkgate_filter::testkit::Testkit;
use linkgate_filter::{
    Clock, Command, Fault, Identity, LinkInfo, Message, Outcome, Receipt, Registry,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

pub(super) use self::elsewhere::{Elsewhere, Look, TestNode};
use super::ear::{Ear, Hear};
use super::flights::Weighed;
use super::outcome::ReceiverOutcome;
use super::receivers::{Need, Receivers, Search, Seeker, Way, WayId, Ways};
use super::router::Router;
use crate::link::{Before, Journal, User};

#[derive(Default)]
pub(super) struct TestLinks {
    table: Mutex<Vec<Arc<TestLink>>>,
    ids: AtomicU64,
    pub(super) arrived: Arc<Notify>,
    journal: Arc<Journal>,
    pub(super) elsewhere: Elsewhere,
    looked: AtomicU64,
}

pub(super) struct TestLink {
    info: Arc<LinkInfo>,
    queue: Mutex<Queue>,
    arrived: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    pushes: Vec<Message>,
    refuses: Option<Fault>,
}

impl TestLinks {
    pub(super) fn connect(&self, user_id: &str, device_id: Option<&str>) -> Arc<TestLink> {
        let identity = Identity::new("chat", user_id);
        let identity = match device_id {
            Some(device_id) => identity.at_device(device_id),
            None => identity,
        };
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(TestLink {
            info: Arc::new(LinkInfo::new(id, identity)),
            queue: Mutex::default(),
            arrived: Arc::clone(&self.arrived),
        });
        self.table.lock().push(Arc::clone(&link));
        self.journal.came(&link.info, Before::default);
        link
    }

    /// How often somebody has looked for links.
    pub(super) fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// Takes the link out of the table; what stands in its queue stays there.
    pub(super) fn remove(&self, link: &Arc<TestLink>) {
        self.table.lock().retain(|other| !Arc::ptr_eq(other, link));
    }
}

impl Receivers for TestLinks {
    fn find(&self, (biz_id, user_id): &User, device_id: Option<&str>) -> Ways {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let is_wanted = |link: &&Arc<TestLink>| {
            let identity = &link.info.identity;
            (&identity.biz_id, &identity.user_id) == (biz_id, user_id)
                && (device_id.is_none() || device_id == identity.device_id.as_deref())
        };
        let table = self.table.lock();
        let wanted = table.iter().filter(is_wanted).cloned();
        wanted.map(|link| link as Arc<dyn Way>).collect()
    }

    fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    fn look(
        &self,
        user: &User,
        _: Option<&str>,
        need: Need,
        seeker: Seeker,
    ) -> Option<Box<dyn Search>> {
        self.elsewhere.look(user, need, seeker)
    }
}

impl Way for TestLink {
    fn id(&self) -> WayId {
        WayId::Here(self.info.id)
    }

    fn send(&self, push: &Arc<Weighed>, expires_at: Option<Instant>, receipt: Receipt) {
        let info = Arc::clone(&self.info);
        let body = push.body.clone();
        let mut message = Message::new(info, Command::DownstreamMessage, &*push.key, body);
        message.ack = push.ack;
        message.expires_at = expires_at;
        let message = message.with_receipt(receipt);
        let refuses = self.queue.lock().refuses.clone();
        if let Some(fault) = refuses {
            return message.settle(Outcome::from_fault(fault));
        }
        self.queue.lock().pushes.push(message);
        self.arrived.notify_one();
    }
}

/// What a test waits for that has sent a push.
pub(super) struct Pending {
    known: Option<ReceiverOutcome>,
    told: oneshot::Receiver<ReceiverOutcome>,
    router: Router,
}

/// Tells a test.
struct Telling(Mutex<Option<oneshot::Sender<ReceiverOutcome>>>);

impl Hear for Telling {
    fn hear(&self, _: u64, outcome: ReceiverOutcome) {
        let telling = self.0.lock().take().expect("it is told once");
        let _ = telling.send(outcome);
    }
}

impl Pending {
    pub(super) fn send(router: &Router, push: &Arc<Weighed>, user_id: &str) -> Self {
        let (telling, told) = oneshot::channel();
        let telling = Telling(Mutex::new(Some(telling)));
        let ear = Ear::new(Arc::new(telling), 0);
        let user = (Arc::clone(&push.biz_id), user_id.into());
        Self {
            known: router.send(push, &user, ear),
            told,
            router: router.clone(),
        }
    }

    /// As another node asks that has taken the push in.
    pub(super) fn forward(router: &Router, push: &Arc<Weighed>, user_id: &str) -> Self {
        let (telling, told) = oneshot::channel();
        let telling = Telling(Mutex::new(Some(telling)));
        let ear = Ear::new(Arc::new(telling), 0);
        let user = (Arc::clone(&push.biz_id), user_id.into());
        Self {
            known: router.forwarded(push, &user, None, ear),
            told,
            router: router.clone(),
        }
    }

    /// What is known at once.
    pub(super) fn known(&self) -> Option<&ReceiverOutcome> {
        self.known.as_ref()
    }

    pub(super) async fn outcome(self, until: Option<Instant>) -> ReceiverOutcome {
        if let Some(known) = self.known {
            self.router.metrics().ended(known.status);
            return known;
        }
        let told = async { self.told.await.expect("it is told") };
        let Some(until) = until else {
            return told.await;
        };
        tokio::select! {
            biased;
            outcome = told => outcome,
            () = self.router.clock().sleep_until(until) => ReceiverOutcome::unsettled(),
        }
    }
}

impl TestLink {
    /// Refuses pushes from now on.
    pub(super) fn refuse(&self, fault: Fault) {
        self.queue.lock().refuses = Some(fault);
    }

    /// Takes pushes again.
    pub(super) fn accept(&self) {
        self.queue.lock().refuses = None;
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let queue = self.queue.lock();
        queue.pushes.iter().map(|m| m.key.clone()).collect()
    }

    /// Takes the oldest push out of the queue.
    pub(super) fn take(&self) -> Option<Message> {
        let pushes = &mut self.queue.lock().pushes;
        (!pushes.is_empty()).then(|| pushes.remove(0))
    }

    /// Settles the oldest push. Whether there was one.
    pub(super) fn settle(&self, outcome: Outcome) -> bool {
        let Some(message) = self.take() else {
            return false;
        };
        message.settle(outcome);
        true
    }

    /// The client acknowledges the oldest push.
    pub(super) fn ack(&self) {
        assert!(self.settle(Outcome::accepted("")), "nothing to acknowledge");
    }
}

/// Tokio's clock; the time of day moves with it.
pub(super) fn clock() -> Arc<dyn Clock> {
    let kit = Testkit::new(Registry::new(), "[{ use: test_end }]");
    Arc::clone(&kit.host().clock)
}
