//! A limit on log lines that clients can provoke: one line per call site and interval, with a count of those
//! held back. Nothing here writes a log line.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The moment all limits count from: an atomic holds a number, not an `Instant`.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Lets one line through per interval. Kept in a `static` beside the line it limits:
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
pub struct Every {
    interval: Duration,
    /// Nanoseconds after `START` from which on the next line may pass.
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Every {
    /// A limit of one line per `interval`. The first line passes at once.
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Asks to write a line. `Some` lets it pass and tells how many were held back since the last one that did.
    pub fn pass(&self) -> Option<u64> {
        let now = nanos(START.elapsed());
        let next = self.next.load(Ordering::Relaxed);
        let mine = now >= next
            && self
                .next
                .compare_exchange(
                    next,
                    now.saturating_add(nanos(self.interval)),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_passes_per_interval_and_tells_how_many_did_not() {
        let limit = Every::new(Duration::from_secs(1));
        assert_eq!(limit.pass(), Some(0));
        assert_eq!((limit.pass(), limit.pass()), (None, None));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(limit.pass(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(limit.pass(), Some(3));
        assert_eq!(limit.pass(), None);
    }
}
