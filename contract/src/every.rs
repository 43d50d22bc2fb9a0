//! A limit on log lines that others can provoke, with a count of those held back. Nothing here writes a log line.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets one log line through per interval. Kept beside the line it limits: in a `static`, or where those meet who share it.
///
/// ```
/// use std::time::Duration;
///
/// use linkgate_filter::{Context, Every, Filter};
///
/// static REFUSED: Every = Every::new(Duration::from_secs(1));
///
/// fn log_refusal<F: Filter>(cx: &Context<'_, F>) {
///     if let Some(held_back) = REFUSED.pass(cx.now()) {
///         eprintln!("refused a message, held_back={held_back}"); // By `tracing`, as a rule.
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Every {
    interval: Duration,
    /// The first moment it was told: an atomic holds a number, not an `Instant`.
    start: OnceLock<Instant>,
    /// Nanoseconds after `start` from which on the next line may pass.
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Every {
    /// A limit of one line per `interval`. The first line passes at once.
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            start: OnceLock::new(),
            next: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Asks to write a line now. `Some` lets it pass and tells how many were held back since the last one that did.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let start = *self.start.get_or_init(|| now);
        let now = nanos(now.saturating_duration_since(start));
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

    #[test]
    fn one_line_passes_per_interval_and_tells_how_many_did_not() {
        let limit = Every::new(Duration::from_secs(1));
        let start = tokio::time::Instant::now().into_std();
        let after = |ms| limit.pass(start + Duration::from_millis(ms));
        assert_eq!(after(0), Some(0));
        assert_eq!((after(0), after(0)), (None, None));
        assert_eq!(after(999), None);
        assert_eq!(after(1_000), Some(3));
        assert_eq!(after(1_000), None);
    }
}
