//! Other nodes for the tests of this room: the test answers searches, and settles what is sent to them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use linkgate_filter::{Outcome, Receipt};
use parking_lot::Mutex;

use crate::link::User;
use crate::push::flights::Weighed;
use crate::push::receivers::{Need, Search, Seeker, Verdict, Way, WayId};

/// What is beyond this node. Nothing, until it is there.
#[derive(Default)]
pub(in crate::push) struct Elsewhere {
    is_there: AtomicBool,
    looks: Mutex<VecDeque<Look>>,
    /// All that there ever were.
    count: AtomicUsize,
    /// Answers every search from now on.
    answers: Mutex<Option<Answers>>,
}

/// What is answered to who looks for a user: these nodes, and this verdict.
type Answers = Arc<dyn Fn(&User) -> (Vec<Arc<TestNode>>, Verdict) + Send + Sync>;

/// Somebody looks for a user.
pub(in crate::push) struct Look {
    pub(in crate::push) user: User,
    pub(in crate::push) need: Need,
    seeker: Seeker,
    is_over: Arc<AtomicBool>,
}

struct Held(Arc<AtomicBool>);

impl Search for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Elsewhere {
    pub(super) fn look(&self, user: &User, need: Need, seeker: Seeker) -> Option<Box<dyn Search>> {
        if !self.is_there.load(Ordering::Relaxed) {
            return None;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let is_over = Arc::new(AtomicBool::new(false));
        let answers = self.answers.lock().clone();
        if let Some(answers) = answers {
            let (nodes, verdict) = answers(user);
            seeker.found(nodes.into_iter().map(|node| node as _).collect());
            seeker.end(verdict);
        } else {
            self.looks.lock().push_back(Look {
                user: user.clone(),
                need,
                seeker,
                is_over: Arc::clone(&is_over),
            });
        }
        Some(Box::new(Held(is_over)))
    }

    /// There are other nodes from now on. The test answers.
    pub(in crate::push) fn is_there(&self) -> &Self {
        self.is_there.store(true, Ordering::Relaxed);
        self
    }

    /// Searches are answered so from now on, before they have begun.
    pub(in crate::push) fn answers(
        &self,
        answers: impl Fn(&User) -> (Vec<Arc<TestNode>>, Verdict) + Send + Sync + 'static,
    ) {
        self.is_there();
        *self.answers.lock() = Some(Arc::new(answers));
    }

    /// How many searches there were.
    pub(in crate::push) fn looked(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The oldest search that has no answer.
    pub(in crate::push) fn next(&self) -> Option<Look> {
        self.looks.lock().pop_front()
    }

    /// As [`Elsewhere::next`]; there is one.
    pub(in crate::push) fn look_of(&self, user: &str, need: Need) -> Look {
        let look = self.next().expect("somebody looks");
        assert_eq!((&*look.user.1, look.need), (user, need));
        look
    }
}

impl Look {
    pub(in crate::push) fn finds(&self, node: &Arc<TestNode>) {
        self.seeker
            .found([Arc::clone(node) as _].into_iter().collect());
    }

    pub(in crate::push) fn ends(self, verdict: Verdict) {
        self.seeker.end(verdict);
    }

    /// Whether nobody waits for it any more.
    pub(in crate::push) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The links of a user at another node.
pub(in crate::push) struct TestNode {
    id: WayId,
    sent: Mutex<VecDeque<(Arc<Weighed>, Receipt)>>,
    parked: AtomicUsize,
    keys: Mutex<Vec<String>>,
}

impl TestNode {
    pub(in crate::push) fn new(node: u64, newest: u64) -> Arc<Self> {
        let incarnation = (1, node);
        Arc::new(Self {
            id: WayId::Elsewhere {
                incarnation,
                newest,
            },
            sent: Mutex::default(),
            parked: AtomicUsize::new(0),
            keys: Mutex::default(),
        })
    }

    /// The keys of all that was ever sent there.
    pub(in crate::push) fn keys(&self) -> Vec<String> {
        self.keys.lock().clone()
    }

    /// How often it was told that a push was parked.
    pub(in crate::push) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(in crate::push) fn take(&self) -> Option<(Arc<Weighed>, Receipt)> {
        self.sent.lock().pop_front()
    }

    /// Settles the oldest push. Whether there was one.
    pub(in crate::push) fn settle(&self, outcome: Outcome) -> bool {
        let sent = self.take();
        sent.map(|(_, receipt)| receipt.settle(outcome)).is_some()
    }

    pub(in crate::push) fn ack(&self) {
        assert!(self.settle(Outcome::accepted("")), "nothing to acknowledge");
    }
}

impl Way for TestNode {
    fn id(&self) -> WayId {
        self.id
    }

    fn send(&self, push: &Arc<Weighed>, _: Option<Instant>, receipt: Receipt) {
        self.keys.lock().push(push.key.to_string());
        self.sent.lock().push_back((Arc::clone(push), receipt));
    }

    fn park(&self, _: &Arc<Weighed>) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }
}
