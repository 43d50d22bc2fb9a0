//! The contract's limit on log lines, by the clock of the node.

use std::time::Duration;

use tokio::time::Instant;

/// Lets one line through per interval; see [`linkgate_filter::Every`].
///
/// ```
/// # use linkgate_core::telemetry::limit::Every;
/// # use std::time::Duration;
/// static REFUSED: Every = Every::new(Duration::from_secs(1));
/// if let Some(held_back) = REFUSED.pass() {
///     tracing::info!(held_back, "a handshake was refused");
/// }
/// ```
#[derive(Debug)]
pub struct Every(linkgate_filter::Every);

impl Every {
    /// A limit of one line per `interval`. The first line passes at once.
    pub const fn new(interval: Duration) -> Self {
        Self(linkgate_filter::Every::new(interval))
    }

    /// Asks to write a line. `Some` lets it pass and tells how many were held back since the last one that did.
    pub fn pass(&self) -> Option<u64> {
        self.0.pass(Instant::now().into_std())
    }
}
