//! What the filter counts.

use linkgate_filter::{Counter, Open};

/// What is counted, `linkgate_filter_events_total{event}`.
#[derive(Clone)]
pub(crate) struct Counters {
    /// Retries answered from the record.
    pub(crate) answered: Counter,
    /// Retries that shared the outcome of a message in flight on this node.
    pub(crate) joined: Counter,
    /// Retries refused because the message was in flight elsewhere, or too many waited.
    pub(crate) in_flight: Counter,
    /// Messages that were not looked at.
    pub(crate) replayable: Counter,
    /// Messages that went on without the store.
    pub(crate) passed: Counter,
    /// Operations of the store that failed.
    pub(crate) store_failed: Counter,
    /// Reservations that were gone when they were to be renewed or recorded.
    pub(crate) lost: Counter,
    /// Accepted messages that could not be recorded.
    pub(crate) unconfirmed: Counter,
}

impl Counters {
    pub(crate) fn new(cx: &Open<'_>) -> Self {
        Self {
            answered: cx.counter("answered"),
            joined: cx.counter("joined"),
            in_flight: cx.counter("in_flight"),
            replayable: cx.counter("replayable"),
            passed: cx.counter("passed"),
            store_failed: cx.counter("store_failed"),
            lost: cx.counter("reservation_lost"),
            unconfirmed: cx.counter("unconfirmed"),
        }
    }
}
