//! What the filter counts, per pipeline entry.

use linkgate_filter::{Counter, Open};

use crate::cipher::Refused;

/// The entry's counters, shown as `linkgate_filter_events_total{event}` under these names.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Opened, whatever the key.
    pub(crate) opened: Counter,
    /// Opened with a key that is not the active one. When this stands still, the other keys can go.
    pub(crate) opened_by_old_key: Counter,
    /// Sealed: pushes at each transmission, and answers.
    pub(crate) sealed: Counter,
    refused_malformed: Counter,
    refused_unknown_key: Counter,
    refused_forged: Counter,
    refused_too_large: Counter,
}

impl Counters {
    pub(crate) fn open(cx: &Open<'_>) -> Self {
        Self {
            opened: cx.counter("opened"),
            opened_by_old_key: cx.counter("opened_by_old_key"),
            sealed: cx.counter("sealed"),
            refused_malformed: cx.counter("refused_malformed"),
            refused_unknown_key: cx.counter("refused_unknown_key"),
            refused_forged: cx.counter("refused_forged"),
            refused_too_large: cx.counter("refused_too_large"),
        }
    }

    /// The one place that tells the reasons apart.
    pub(crate) fn refused(&self, why: Refused) {
        match why {
            Refused::Malformed => self.refused_malformed.inc(),
            Refused::UnknownKey => self.refused_unknown_key.inc(),
            Refused::Forged => self.refused_forged.inc(),
            Refused::TooLarge => self.refused_too_large.inc(),
        }
    }
}
