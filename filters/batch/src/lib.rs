//! `batch`: joins the messages of many links, so that a backend gets them together.
//!
//! The trunk of a pipeline begins here. Each shard gathers for itself and sends a joined message on when
//!
//! - it is full (`max_messages`, `max_bytes`), or its first message has waited for `max_wait`;
//! - no other is in flight, if `adaptive`;
//! - the shard closes, as on a reload or a stop: then nothing waits any more.
//!
//! A single message goes as a joined one too, so a backend sees one method only. Each part settles by itself, from what
//! the filters behind say of it; `batch` hears of the joined message alone, whose receipt settles after its parts.
//!
//! # Order
//!
//! Several batches of a shard may be in flight, but never two with messages of one link: while some of a link's messages
//! are in flight, its next ones wait, and other links' messages go. So whoever stands behind need not keep the order among
//! joined messages, only within one. `ordering: none` gives this up.
//!
//! # Bounds
//!
//! What is gathered counts, with what is in flight, for the shard's `limits.trunk.bytes`; at that, the shard takes in no
//! more, and its links wait, each for itself. A link has at most `limits.trunk.per_link` messages here.
//!
//! What may not enter: what the backend speaks, and any clock but the context's.

mod config;
mod gathered;

use std::time::{Duration, Instant};

use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Command, Context, Counter, Fact, Filter, FilterType, Message, Never, Open, Outcome, Prepare,
    Properties, Settle, Verdict,
};

pub use self::config::{Config, Ordering};
use self::gathered::{Batch, Gathered};

/// One `batch` entry of a pipeline.
pub struct Batches(Config);

impl FilterType for Batches {
    const NAME: &'static str = "batch";
    type Config = Config;
    type Filter = Batcher;

    fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        config.check().map(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new()
            .needs(Fact::DECODED)
            .gives(Fact::JOINED)
            .joins_links()
    }

    fn filter(&self, cx: &Open<'_>) -> Batcher {
        let Config {
            max_messages,
            max_bytes,
            max_wait,
            adaptive,
            ordering,
            max_in_flight,
        } = self.0;
        let ordered = ordering == Ordering::Link;
        Batcher {
            gathered: Gathered::new(max_messages, max_bytes.as_usize(), ordered),
            opened: None,
            in_flight: 0,
            max_wait: *max_wait,
            max_in_flight,
            adaptive,
            armed: false,
            closed: false,
            batches: cx.counter("batches"),
            messages: cx.counter("messages"),
            full: cx.counter("full"),
        }
    }
}

/// A `batch` at work in one shard.
pub struct Batcher {
    gathered: Gathered,
    /// When the first of what may go began to wait.
    opened: Option<Instant>,
    /// Batches that have not settled.
    in_flight: usize,
    max_wait: Duration,
    max_in_flight: usize,
    adaptive: bool,
    /// A timer runs.
    armed: bool,
    closed: bool,
    batches: Counter,
    messages: Counter,
    full: Counter,
}

impl Filter for Batcher {
    /// The lanes that its batch holds.
    type Token = Vec<u64>;
    type Timer = ();
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) {
            return Verdict::Next(m);
        }
        self.gathered.push(m);
        self.send_due(cx);
        Verdict::Done
    }

    fn settled(&mut self, lanes: Vec<u64>, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        self.in_flight -= 1;
        self.gathered.release(lanes);
        self.send_due(cx);
        Settle::Next(outcome)
    }

    fn wake(&mut self, (): (), cx: &mut Context<'_, Self>) {
        self.armed = false;
        self.send_due(cx);
    }

    /// What may go goes; what waits for its own link's messages in flight goes once those have settled.
    fn close(&mut self, cx: &mut Context<'_, Self>) {
        self.closed = true;
        self.send_due(cx);
    }
}

impl Batcher {
    /// Sends as many batches as are due and allowed.
    fn send_due(&mut self, cx: &mut Context<'_, Self>) {
        if self.opened.is_none() && !self.gathered.is_empty() {
            self.opened = Some(cx.now());
        }
        while self.in_flight < self.max_in_flight && self.is_due(cx.now()) {
            self.full.add(u64::from(self.gathered.is_full()));
            let batch = self.gathered.take();
            self.send(batch, cx);
            // What is left has waited as long as what went: it need not begin anew.
            if self.gathered.is_empty() {
                self.opened = None;
            }
        }
        self.arm(cx);
    }

    fn is_due(&self, now: Instant) -> bool {
        let Some(opened) = self.opened else {
            return false;
        };
        self.closed
            || self.gathered.is_full()
            || (self.adaptive && self.in_flight == 0)
            || now >= opened + self.max_wait
    }

    fn send(&mut self, batch: Batch, cx: &mut Context<'_, Self>) {
        let Batch { messages, lanes } = batch;
        self.batches.inc();
        self.messages.add(messages.len() as u64);
        if let Some(mut joined) = Message::joined(messages) {
            cx.track(&mut joined, lanes);
            self.in_flight += 1;
            cx.upstream(joined);
        }
    }

    /// Keeps one timer while something waits for it. It never has to be moved forward: what opens later is due later.
    fn arm(&mut self, cx: &mut Context<'_, Self>) {
        if let (Some(opened), false, false) = (self.opened, self.armed, self.closed)
            && self.in_flight < self.max_in_flight
        {
            self.armed = true;
            cx.wake_at(opened + self.max_wait, ());
        }
    }
}

#[cfg(test)]
mod tests;
