//! Filters for the runner's tests, each with one habit, and the desk from which a test steers them.
//!
//! Everything of a test runs on one thread, so the desk is the thread's own: [`Desk::fresh`] clears it.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used
)] // each test binary uses a part of it

mod filters;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

pub use filters::{Seen, registry};
use linkgate_filter::runner::Limits;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Command, Fault, Message, Outcome};
use tokio::sync::oneshot;

/// What a test lets a waiting filter do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Done,
    Refuse,
    Again,
    Panic,
}

#[derive(Default)]
struct Inner {
    log: Vec<String>,
    gates: BTreeMap<String, oneshot::Sender<Go>>,
    arrived: Vec<(u64, String)>,
    handed: Vec<Message>,
    fates: BTreeMap<String, bool>,
    lives: Vec<Life>,
    /// Chains that are forgotten.
    dead: usize,
}

/// The life of a chain, as a `census` in it sees it.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub link: u64,
    pub closed: Option<Instant>,
    pub dead: bool,
}

thread_local! {
    static DESK: RefCell<Inner> = RefCell::default();
}

/// Where filters note what they see, and wait for the test.
pub struct Desk;

impl Desk {
    pub fn fresh() -> Self {
        let old = DESK.with(RefCell::take);
        drop(old);
        Self
    }

    /// What has been noted since the last call.
    pub fn log(&self) -> Vec<String> {
        DESK.with(|desk| std::mem::take(&mut desk.borrow_mut().log))
    }

    /// The names of those that wait, in the order of their names.
    pub fn gates(&self) -> Vec<String> {
        DESK.with(|desk| desk.borrow().gates.keys().cloned().collect())
    }

    /// Lets the one with this name go.
    pub fn go(&self, name: &str, go: Go) {
        let gate = DESK.with(|desk| desk.borrow_mut().gates.remove(name));
        let gate = gate.unwrap_or_else(|| panic!("no gate {name}: {:?}", self.gates()));
        // Nobody waits any more where the chain was given up.
        let _ = gate.send(go);
    }

    pub fn note(text: impl Into<String>) {
        DESK.with(|desk| desk.borrow_mut().log.push(text.into()));
    }

    /// What has reached an `arrive` since the last call: link and key, in order.
    pub fn arrived(&self) -> Vec<(u64, String)> {
        DESK.with(|desk| std::mem::take(&mut desk.borrow_mut().arrived))
    }

    pub fn arrive(link: u64, key: &str) {
        DESK.with(|desk| desk.borrow_mut().arrived.push((link, key.to_owned())));
    }

    /// What an `arrive` has handed over since the last call.
    pub fn handed(&self) -> Vec<Message> {
        DESK.with(|desk| std::mem::take(&mut desk.borrow_mut().handed))
    }

    pub fn hand(m: Message) {
        DESK.with(|desk| desk.borrow_mut().handed.push(m));
    }

    /// What backends said, by key.
    pub fn fates(&self) -> BTreeMap<String, bool> {
        DESK.with(|desk| desk.borrow().fates.clone())
    }

    pub fn fate(key: &str, good: bool) {
        DESK.with(|desk| desk.borrow_mut().fates.insert(key.to_owned(), good));
    }

    /// The chains with a `census` there ever were, the oldest first.
    pub fn lives(&self) -> Vec<Life> {
        DESK.with(|desk| desk.borrow().lives.clone())
    }

    /// Forgets the chains that are gone, and what was noted.
    pub fn forget(&self) {
        DESK.with(|desk| {
            let mut desk = desk.borrow_mut();
            desk.log.clear();
            desk.dead += desk.lives.len();
            let gone = desk.lives.iter().take_while(|life| life.dead).count();
            desk.lives.drain(..gone);
            desk.dead -= desk.lives.len();
        });
    }

    pub fn born(link: u64) -> usize {
        DESK.with(|desk| {
            let mut desk = desk.borrow_mut();
            let lives = &mut desk.lives;
            lives.push(Life {
                link,
                closed: None,
                dead: false,
            });
            let alive = lives.iter().filter(|life| life.link == link && !life.dead);
            assert!(alive.count() <= 2, "link {link} has more than two chains");
            desk.dead + desk.lives.len() - 1
        })
    }

    pub fn closed(life: usize, at: Instant) {
        DESK.with(|desk| {
            let mut desk = desk.borrow_mut();
            let at_desk = life - desk.dead;
            desk.lives[at_desk].closed = Some(at);
        });
    }

    pub fn died(life: usize) {
        // A chain may outlive its test's desk.
        let _ = DESK.try_with(|desk| {
            let mut desk = desk.borrow_mut();
            let at_desk = life.checked_sub(desk.dead);
            if let Some(life) = at_desk.and_then(|at| desk.lives.get_mut(at)) {
                life.dead = true;
            }
        });
    }

    /// A second one of the same name is `NAME'`.
    pub fn gate(name: &str) -> impl Future<Output = Go> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let mut name = name.to_owned();
        DESK.with(|desk| {
            let gates = &mut desk.borrow_mut().gates;
            while gates.contains_key(&name) {
                name.push('\'');
            }
            gates.insert(name, sender);
        });
        async move { receiver.await.unwrap_or(Go::On) }
    }
}

pub fn kit(entries: &str) -> Testkit {
    Testkit::new(registry(), entries)
}

pub fn kit_with(limits: Limits, entries: &str) -> Testkit {
    Testkit::with(registry(), Default::default(), limits, entries)
}

/// `business k1`, `ack k1 answer`, `nack k1 code`, `push p1`.
pub fn label(m: &Message) -> String {
    let name = match m.command {
        None => "raw",
        Some(Command::Heartbeat) => "heartbeat",
        Some(Command::UpstreamMessage) => "business",
        Some(Command::UpstreamAck) => "ack",
        Some(Command::DownstreamMessage) => "push",
        Some(Command::DownstreamAck) => "got",
        Some(Command::Redirect) => "redirect",
        Some(Command::RateLimitExceeded) => "limited",
        Some(Command::UpstreamNack) => "nack",
    };
    let body = String::from_utf8_lossy(&m.body);
    let words = [
        name,
        &m.key,
        &body,
        m.fault.as_ref().map_or("", |f| &f.code),
    ];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// `ok answer`, `failed code`, `unknown code`.
pub fn says(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(answer) => format!("ok {}", String::from_utf8_lossy(&answer.body)),
        Outcome::Failed(fault) => format!("failed {}", fault.code),
        Outcome::Unknown(fault) => format!("unknown {}", fault.code),
    }
}

pub fn received(link: &mut TestLink) -> Vec<String> {
    link.received().iter().map(label).collect()
}

pub fn labels(messages: &[Message]) -> Vec<String> {
    messages.iter().map(label).collect()
}

pub fn ok(body: &'static str) -> Outcome {
    Outcome::accepted(body)
}

pub fn failed() -> Outcome {
    Outcome::Failed(Fault::backend("test.failed"))
}
