//! A table of links for the tests of this room: a link keeps its pushes for the test to settle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linkgate_filter::testkit::Testkit;
use linkgate_filter::{Clock, Fault, Identity, LinkInfo, Message, Outcome, Registry};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::links::{Link, Links};
use crate::link::Arrivals;

#[derive(Default)]
pub(super) struct TestLinks {
    table: Mutex<Vec<Arc<TestLink>>>,
    ids: AtomicU64,
    pub(super) arrived: Arc<Notify>,
    arrivals: Arc<Arrivals>,
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
        self.arrivals.came(&link.info.identity);
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

impl Links for TestLinks {
    fn find(&self, biz_id: &str, user_id: &str, device_id: Option<&str>) -> Vec<Arc<dyn Link>> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let is_wanted = |link: &&Arc<TestLink>| {
            let identity = &link.info.identity;
            (&*identity.biz_id, &*identity.user_id) == (biz_id, user_id)
                && (device_id.is_none() || device_id == identity.device_id.as_deref())
        };
        let table = self.table.lock();
        let wanted = table.iter().filter(is_wanted).cloned();
        wanted.map(|link| link as Arc<dyn Link>).collect()
    }

    fn arrivals(&self) -> &Arc<Arrivals> {
        &self.arrivals
    }
}

impl Link for TestLink {
    fn info(&self) -> &Arc<LinkInfo> {
        &self.info
    }

    fn push(&self, message: Message) -> Result<(), (Message, Fault)> {
        let mut queue = self.queue.lock();
        if let Some(fault) = &queue.refuses {
            return Err((message, fault.clone()));
        }
        queue.pushes.push(message);
        drop(queue);
        self.arrived.notify_one();
        Ok(())
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
