//! What is said on a stream that this node has opened, or opens: frames that are to leave, deliveries under way, and those
//! that wait until the other node has room.
//!
//! What may not enter: connections, and telling anybody. What is to be told is given back, and told without the lock.

mod saying;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use linkgate_filter::{Fault, Outcome, Receipt};
use linkgate_proto::v1;

pub(super) use self::saying::outcome;
use self::saying::{Saying, Waiting};
use super::frames::{BATCH, put};
use super::wire::{LONGEST_NAME, MOST_ENDED};
use crate::cluster::config::PeersQueue;
use crate::edges::directory::{ClaimId, Incarnation, User};
use crate::push::Push;

/// A push that its source shares among its deliveries: the same one is sent once to a node.
pub(super) type Shared = Arc<dyn Deref<Target = Push> + Send + Sync>;

/// Another node has no such link any more.
pub(super) const GONE: &str = "link.gone";
/// Another node has, or may have, links of the user, and is not heard.
pub(super) const SILENT: &str = "push.peer_silent";
/// Another node has no room.
const BUSY: &str = "push.peer_busy";
/// No other node can take it.
const TOO_LARGE: &str = "push.too_large";

/// Bytes of what a node says of a delivery that failed.
pub(super) const LONGEST_REASON: usize = 4096;

/// What a delivery counts for beside its body, in bytes.
pub(super) const DELIVERY: u64 = 256;

/// A push for one user on another node.
pub(super) struct Delivery {
    pub(super) push: Shared,
    pub(super) expires_at: Option<Instant>,
    pub(super) user: Arc<str>,
    pub(super) claims: Vec<ClaimId>,
    pub(super) receipt: Receipt,
}

impl Delivery {
    /// It cannot be sent.
    pub(super) fn fails(self) -> Settled {
        (self.receipt, Outcome::Failed(silent()))
    }
}

/// A receipt, and what became of it.
pub(super) type Settled = (Receipt, Outcome);

/// What ends with a stream.
#[derive(Default)]
pub(super) struct Left {
    pub(super) settled: Vec<Settled>,
    pub(super) questions: Vec<u64>,
}

/// What is said to one node.
pub(super) struct Sending {
    queue: VecDeque<Saying>,
    /// The room there is, once the other node has said who it is.
    room: Option<Room>,
    /// It is not said to any more.
    is_over: bool,
    bodies: HashMap<usize, Body>,
    under_way: HashMap<u64, UnderWay>,
    line: VecDeque<(u64, Waiting)>,
    line_bytes: usize,
    limits: PeersQueue,
    questions: HashSet<u64>,
    /// Bodies so far.
    numbers: u64,
}

/// What the other node takes.
struct Room {
    /// In all.
    credit: u64,
    /// Taken.
    used: u64,
    largest_body: u64,
}

/// A body that deliveries under way or waiting need. It is known by where it is: as it is held here, nothing else can be
/// there.
struct Body {
    /// Its number, if the other node has it.
    number: Option<u64>,
    under_way: usize,
    waiting: usize,
}

struct UnderWay {
    receipt: Receipt,
    key: usize,
    push: Shared,
    /// The frame has gone to the network.
    has_left: bool,
}

impl Sending {
    /// Frames that wait to be written beside those of deliveries. Those beyond are not said: they are hints, or are said
    /// again, or are questions, which end.
    const MOST_SAID: usize = 16 * 1024;
    /// Questions that are open.
    const MOST_QUESTIONS: usize = 64 * 1024;

    pub(super) fn new(limits: &PeersQueue) -> Self {
        Self {
            queue: VecDeque::new(),
            room: None,
            is_over: false,
            bodies: HashMap::new(),
            under_way: HashMap::new(),
            line: VecDeque::new(),
            line_bytes: 0,
            limits: limits.clone(),
            questions: HashSet::new(),
            numbers: 0,
        }
    }

    /// The other node has said who it is, and how large a body it takes. Nothing is under way before it gives credit.
    /// Gives back what is too large for it.
    pub(super) fn begin(&mut self, largest_body: u64) -> Vec<Settled> {
        self.room = Some(Room {
            credit: 0,
            used: 0,
            largest_body,
        });
        let (line, too_large): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.line)
            .into_iter()
            .partition(|(_, waiting)| bytes(&waiting.push) <= largest_body);
        self.line = line;
        for (_, waiting) in &too_large {
            self.leaves_line(waiting);
        }
        self.bodies.retain(|_, body| body.waiting > 0);
        let receipts = too_large
            .into_iter()
            .filter_map(|(_, waiting)| waiting.receipt);
        receipts
            .map(|receipt| (receipt, Outcome::Failed(too_large_fault())))
            .collect()
    }

    /// Whether the stream is open.
    pub(super) fn is_open(&self) -> bool {
        self.room.is_some()
    }

    pub(super) fn ended(&mut self, lives: &[Incarnation]) {
        // Also while the stream opens: what is said first may have been written before.
        for lives in lives.chunks(MOST_ENDED) {
            self.say(Saying::Ended(lives.to_vec()));
        }
    }

    pub(super) fn fence(&mut self, user: &User, claim: ClaimId) {
        self.say(Saying::Fence(user.clone(), claim));
    }

    /// `false`: it is not asked.
    pub(super) fn ask(&mut self, number: u64, user: &User) -> bool {
        let may = self.questions.len() < Self::MOST_QUESTIONS
            && self.say(Saying::Ask(number, user.clone()));
        if may {
            self.questions.insert(number);
        }
        may
    }

    /// Whether such a question was open.
    pub(super) fn is_answered(&mut self, number: u64) -> bool {
        self.questions.remove(&number)
    }

    fn say(&mut self, saying: Saying) -> bool {
        let may = !self.is_over && self.queue.len() < Self::MOST_SAID;
        if may {
            self.queue.push_back(saying);
        }
        may
    }

    /// Takes a delivery, with a number that the counter gives.
    ///
    /// # Errors
    /// It is not taken.
    pub(super) fn deliver(
        &mut self,
        delivery: Delivery,
        numbers: &AtomicU64,
    ) -> Result<u64, Settled> {
        let fault = if self.is_over {
            silent()
        } else if !fits_a_frame(&delivery, self.room.as_ref()) {
            too_large_fault()
        } else if self.is_full(&delivery.push) {
            let fault = Fault::gateway(BUSY).retryable();
            fault.detail("too many pushes wait for the node that has the user's link")
        } else {
            // Under the lock, so that numbers rise on each stream.
            let number = numbers.fetch_add(1, Ordering::Relaxed) + 1;
            self.wait(number, delivery);
            self.go_on();
            return Ok(number);
        };
        Err((delivery.receipt, Outcome::Failed(fault)))
    }

    fn is_full(&self, push: &Shared) -> bool {
        if self.line.is_empty() {
            return false;
        }
        let bytes = self.line_bytes + self.weight(key(push), push);
        self.line.len() >= self.limits.max as usize || bytes > self.limits.bytes.as_usize()
    }

    /// What one more delivery of this push adds to the line.
    fn weight(&self, key: usize, push: &Push) -> usize {
        let is_there = self.bodies.get(&key).is_some_and(|body| body.waiting > 0);
        DELIVERY as usize + if is_there { 0 } else { push.body.len() }
    }

    fn wait(&mut self, number: u64, delivery: Delivery) {
        let key = key(&delivery.push);
        self.line_bytes += self.weight(key, &delivery.push);
        let body = self.bodies.entry(key).or_insert(Body {
            number: None,
            under_way: 0,
            waiting: 0,
        });
        body.waiting += 1;
        let waiting = Waiting {
            key,
            push: delivery.push,
            expires_at: delivery.expires_at,
            user: delivery.user,
            claims: delivery.claims,
            is_parked: false,
            receipt: Some(delivery.receipt),
        };
        self.line.push_back((number, waiting));
    }

    /// Sends what there is room for, in its order.
    fn go_on(&mut self) {
        while let Some((_, first)) = self.line.front() {
            let Some(room) = &mut self.room else {
                return;
            };
            let is_there = |body: &Body| body.number.is_some();
            let is_there = self.bodies.get(&first.key).is_some_and(is_there);
            let cost = DELIVERY + if is_there { 0 } else { bytes(&first.push) };
            let may = room.credit > 0 && (room.used == 0 || room.used + cost <= room.credit);
            if !may {
                return;
            }
            room.used += cost;
            if let Some((number, waiting)) = self.line.pop_front() {
                self.send(number, waiting);
            }
        }
    }

    fn leaves_line(&mut self, waiting: &Waiting) {
        self.line_bytes -= DELIVERY as usize;
        if let Some(body) = self.bodies.get_mut(&waiting.key) {
            body.waiting -= 1;
            if body.waiting == 0 {
                self.line_bytes -= waiting.push.body.len();
            }
        }
    }

    fn send(&mut self, number: u64, mut waiting: Waiting) {
        self.leaves_line(&waiting);
        let Some(body) = self.bodies.get_mut(&waiting.key) else {
            return;
        };
        body.under_way += 1;
        let body = *body.number.get_or_insert_with(|| {
            self.numbers += 1;
            let push = Arc::clone(&waiting.push);
            let saying = Saying::Body(self.numbers, push, waiting.expires_at);
            self.queue.push_back(saying);
            self.numbers
        });
        if let Some(receipt) = waiting.receipt.take() {
            let under_way = UnderWay {
                receipt,
                key: waiting.key,
                push: Arc::clone(&waiting.push),
                has_left: false,
            };
            self.under_way.insert(number, under_way);
        }
        self.queue.push_back(Saying::Deliver(number, body, waiting));
    }

    pub(super) fn park(&mut self, number: u64) {
        if self.under_way.contains_key(&number) {
            self.say(Saying::Park(number));
        } else if let Ok(at) = self
            .line
            .binary_search_by_key(&number, |(number, _)| *number)
        {
            self.line[at].1.is_parked = true;
        }
    }

    /// The other node gives so much room.
    pub(super) fn credit(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            room.credit = bytes;
        }
        self.go_on();
    }

    /// A delivery has ended. `None`: there is none of this number.
    pub(super) fn settle(&mut self, number: u64) -> Option<Receipt> {
        let done = self.under_way.remove(&number)?;
        let mut freed = DELIVERY;
        if let Entry::Occupied(mut entry) = self.bodies.entry(done.key) {
            let body = entry.get_mut();
            body.under_way -= 1;
            // Also where others wait: they may be behind one that this one's room is for.
            if body.under_way == 0
                && let Some(number) = body.number.take()
            {
                freed += bytes(&done.push);
                self.queue.push_back(Saying::Forget(number));
                if body.waiting == 0 {
                    entry.remove();
                }
            }
        }
        if let Some(room) = &mut self.room {
            room.used = room.used.saturating_sub(freed);
        }
        self.go_on();
        Some(done.receipt)
    }

    /// The stream has ended, or did not open. What has not left can be tried anew. `for_good`: no other one is opened.
    pub(super) fn end(&mut self, for_good: bool) -> Left {
        self.is_over |= for_good;
        self.room = None;
        self.queue.clear();
        self.bodies.clear();
        self.line_bytes = 0;
        let waited = std::mem::take(&mut self.line).into_iter();
        let waited = waited.filter_map(|(_, waiting)| waiting.receipt);
        let waited = waited.map(|receipt| (receipt, Outcome::Failed(silent())));
        let mut under_way: Vec<_> = std::mem::take(&mut self.under_way).into_iter().collect();
        under_way.sort_unstable_by_key(|(number, _)| *number);
        let settled = under_way.into_iter().map(|(_, done)| {
            let outcome = match done.has_left {
                true => Outcome::Unknown(silent().effect_unknown()),
                false => Outcome::Failed(silent()),
            };
            (done.receipt, outcome)
        });
        let settled = settled.chain(waited).collect();
        let mut questions: Vec<_> = self.questions.drain().collect();
        questions.sort_unstable();
        Left { settled, questions }
    }

    /// Puts what leaves next. `false`: there is nothing.
    pub(super) fn fill(&mut self, batch: &mut BytesMut, now: Instant) -> bool {
        if !self.is_open() {
            return false;
        }
        while batch.len() < BATCH
            && let Some(saying) = self.queue.pop_front()
        {
            if let Saying::Deliver(number, ..) = &saying
                && let Some(under_way) = self.under_way.get_mut(number)
            {
                under_way.has_left = true;
            }
            let said = Some(saying.to_wire(now));
            put(&v1::PeerRequest { said }, batch);
        }
        !batch.is_empty()
    }
}

fn key(push: &Shared) -> usize {
    Arc::as_ptr(push).cast::<()>() as usize
}

fn bytes(push: &Push) -> u64 {
    push.body.len() as u64
}

/// Whether the other node would read it. Before it is known, what is too large for it waits with the others.
fn fits_a_frame(delivery: &Delivery, room: Option<&Room>) -> bool {
    let push = &delivery.push;
    let device = push.device_id.as_deref().unwrap_or_default();
    let mut names = [&*push.key, &*push.biz_id, device, &*delivery.user].into_iter();
    names.all(|name| name.len() <= LONGEST_NAME)
        && room.is_none_or(|room| bytes(push) <= room.largest_body)
}

fn too_large_fault() -> Fault {
    let fault = Fault::backend(TOO_LARGE);
    fault.detail("the push is larger than what nodes take from each other")
}

fn silent() -> Fault {
    let fault = Fault::gateway(SILENT).retryable();
    fault.detail("the node that has the user's link does not answer")
}
