//! Filters for the runner's tests, each with one habit, and the desk from which a test steers them.
//!
//! Everything of a test runs on one thread, so the desk is the thread's own: [`Desk::fresh`] clears it.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

mod filters;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use filters::registry;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Command, Fault, Limits, Message, Outcome};
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
