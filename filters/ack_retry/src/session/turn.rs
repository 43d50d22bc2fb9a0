//! One event in the life of a session: when, with what, and what came of it.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{LinkInfo, Message, Outcome, Receipt, Room};
use smallvec::SmallVec;

use crate::budget::Budget;
use crate::config::Config;
use crate::counters::Counters;

/// What stays the same from turn to turn.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) config: &'a Config,
    pub(crate) counters: &'a Counters,
    pub(crate) budget: &'a Budget,
    pub(crate) room: Room,
}

/// One event: what it may use, and what came of it.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) link: &'a Arc<LinkInfo>,
    /// The socket is gone, and at this moment what is still pending is given up.
    pub(crate) kept_until: Option<Instant>,
    pub(crate) means: Means<'a>,
    pub(crate) random: &'a mut dyn FnMut() -> u64,
    /// To be sent to the client, in order.
    pub(crate) sent: SmallVec<[Message; 1]>,
    /// To be told of an outcome.
    pub(crate) settled: SmallVec<[(Receipts, Outcome); 1]>,
}

/// Who is to be told what became of a push: its source, and those of the pushes that joined it.
pub(crate) type Receipts = SmallVec<[Receipt; 1]>;

impl<'a> Turn<'a> {
    pub(crate) fn new(
        now: Instant,
        link: &'a Arc<LinkInfo>,
        kept_until: Option<Instant>,
        means: Means<'a>,
        random: &'a mut dyn FnMut() -> u64,
    ) -> Self {
        Self {
            now,
            link,
            kept_until,
            means,
            random,
            sent: SmallVec::new(),
            settled: SmallVec::new(),
        }
    }
}
