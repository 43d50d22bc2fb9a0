//! What is counted while a load runs: one value that all links share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Kinds of errors that are told apart; what comes after them is counted together.
const MAX_KINDS: usize = 50;

/// The state of a run. Links write, the one who measures reads.
pub(super) struct Shared {
    /// The load is to end.
    pub(super) stop: CancellationToken,
    /// The links are to close.
    pub(super) hang_up: CancellationToken,
    /// The time for warming up is over.
    measuring: AtomicBool,
    /// Messages that may still be sent.
    left: AtomicI64,
    /// Messages or pushes that have ended well, those of the time for warming up not among them.
    pub(super) done: AtomicU64,
    /// From sending to the answer, or from pushing to the arrival at the client.
    pub(super) latency: Latency,
    /// From pushing to the outcome.
    pub(super) outcome: Latency,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// For a run of `messages`, or of any number.
    pub(super) fn new(messages: Option<u64>) -> Result<Self, CreationError> {
        Ok(Self {
            stop: CancellationToken::new(),
            hang_up: CancellationToken::new(),
            measuring: AtomicBool::new(false),
            left: AtomicI64::new(
                messages.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX)),
            ),
            done: AtomicU64::new(0),
            latency: Latency::new()?,
            outcome: Latency::new()?,
            errors: Mutex::default(),
        })
    }

    /// Latencies count from now on.
    pub(super) fn measure(&self) {
        self.measuring.store(true, Ordering::Relaxed);
    }

    pub(super) fn measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// Asks to send `n` messages: gives how many may be, 0 when the load is to end. While warming up the number is
    /// not limited.
    pub(super) fn take(&self, n: u32) -> u32 {
        if self.stop.is_cancelled() {
            return 0;
        }
        if !self.measuring() {
            return n;
        }
        let before = self.left.fetch_sub(n.into(), Ordering::Relaxed);
        let granted = before.clamp(0, n.into());
        if granted < n.into() {
            self.stop.cancel();
        }
        u32::try_from(granted).unwrap_or(0)
    }

    pub(super) fn done(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn error(&self, kind: impl Into<String>) {
        let (mut errors, mut kind) = (self.errors.lock(), kind.into());
        if errors.len() >= MAX_KINDS && !errors.contains_key(&kind) {
            kind = "others".into();
        }
        *errors.entry(kind).or_default() += 1;
    }

    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }
}

/// A histogram of microseconds, to three digits, up to two minutes; striped, so that links seldom wait for each other.
pub(super) struct Latency(Vec<Mutex<Histogram<u64>>>);

const STRIPES: usize = 8;
const LONGEST_US: u64 = 120_000_000;

impl Latency {
    fn new() -> Result<Self, CreationError> {
        let stripe = || Histogram::new_with_bounds(1, LONGEST_US, 3).map(Mutex::new);
        std::iter::repeat_with(stripe)
            .take(STRIPES)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Notes latencies of the link with this number.
    pub(super) fn record(&self, link: usize, latencies: impl IntoIterator<Item = Duration>) {
        let mut stripe = self.0[link % STRIPES].lock();
        for latency in latencies {
            stripe.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US));
        }
    }

    /// All that was noted.
    pub(super) fn merged(&self) -> Histogram<u64> {
        let mut all = self.0[0].lock().clone();
        for stripe in &self.0[1..] {
            // The stripes have the same bounds, so this cannot fail.
            all.add(&*stripe.lock()).ok();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_messages_are_granted_than_asked_for() {
        let shared = Shared::new(Some(10)).unwrap();
        assert_eq!(shared.take(16), 16, "warming up is free");
        shared.measure();
        assert_eq!([shared.take(4), shared.take(4)], [4, 4]);
        assert!(!shared.stop.is_cancelled());
        assert_eq!([shared.take(4), shared.take(4)], [2, 0]);
        assert!(shared.stop.is_cancelled());
    }

    #[test]
    fn stripes_make_one_histogram() {
        let latency = Latency::new().unwrap();
        for link in 0..20 {
            latency.record(link, [Duration::from_millis(5)]);
        }
        assert_eq!(latency.merged().len(), 20);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let shared = Shared::new(None).unwrap();
        for i in 0..MAX_KINDS + 7 {
            shared.error(i.to_string());
        }
        assert_eq!(shared.errors().len(), MAX_KINDS + 1);
        assert_eq!(shared.errors()["others"], 7);
    }
}
