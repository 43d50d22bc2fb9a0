//! The quota itself: a generic cell rate algorithm in one atomic number.
//!
//! Nothing but arithmetic: no message, no answer, no clock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many messages at once, and one more every interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// Nanoseconds that one message takes up, at least 1.
    interval: u64,
    /// Nanoseconds that a full burst takes up.
    capacity: u64,
    /// Nanoseconds that a message can wait for its turn.
    patience: u64,
}

impl Quota {
    /// Whether messages wait for their turn.
    pub(crate) fn holds(&self) -> bool {
        self.patience > 0
    }

    /// The longest a whole burst may take to come back.
    pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 86_400);

    /// `None` when a spent burst takes longer than [`Quota::LONGEST`] to come back.
    pub(crate) fn new(interval: Duration, burst: u32) -> Option<Self> {
        let capacity = interval.checked_mul(burst)?;
        (capacity <= Self::LONGEST).then(|| Self {
            interval: nanos(interval).max(1),
            capacity: nanos(capacity).max(1),
            patience: 0,
        })
    }

    /// Messages can wait so long for their turn; they cannot if this is not said.
    #[must_use]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        let patience = nanos(patience);
        Self { patience, ..self }
    }
}

/// What became of a message's claim on the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It may pass.
    Now,
    /// Its place is taken: it may pass after this long.
    Later(Duration),
    /// Nothing was taken: after this long a message may pass.
    Excess(Duration),
}

/// How much of a quota is spent.
///
/// Kept as the moment at which nothing of it is spent any more, so that it comes back by time alone; measured in
/// intervals, that is the number of messages spent. When the quota changes, [`Bucket::adopt`] converts the moment so that
/// the number stays.
#[derive(Debug)]
pub(crate) struct Bucket {
    base: Instant,
    /// In nanoseconds since `base`.
    spent_until: AtomicU64,
    /// The interval that `spent_until` is measured in.
    interval: AtomicU64,
}

impl Bucket {
    /// Nothing is spent.
    pub(crate) fn new(quota: &Quota, now: Instant) -> Self {
        let interval = AtomicU64::new(quota.interval);
        Self {
            base: now,
            spent_until: AtomicU64::new(0),
            interval,
        }
    }

    /// Claims room for one message.
    pub(crate) fn take(&self, quota: &Quota, now: Instant) -> Take {
        let now = self.since_base(now);
        let mut wait = 0;
        let taken = self.spent_until.fetch_update(Relaxed, Relaxed, |until| {
            let until = until.max(now) + quota.interval;
            wait = until.saturating_sub(now + quota.capacity);
            (wait <= quota.patience).then_some(until)
        });
        let wait = Duration::from_nanos(wait);
        match taken {
            Ok(_) if wait.is_zero() => Take::Now,
            Ok(_) => Take::Later(wait),
            Err(_) => Take::Excess(wait),
        }
    }

    /// From now on measures by `quota`. As many messages stay spent as were, as far as the new quota goes: a bucket is
    /// never emptier than empty.
    pub(crate) fn adopt(&self, quota: &Quota, now: Instant) {
        let now = self.since_base(now);
        let before = self.interval.swap(quota.interval, Relaxed);
        let most = quota.capacity + quota.patience;
        let convert = |until: u64| {
            let spent = u128::from(until.saturating_sub(now));
            let spent = spent * u128::from(quota.interval) / u128::from(before);
            now + u64::try_from(spent).map_or(most, |spent| spent.min(most))
        };
        // Cannot fail: the closure always has a value.
        let _ = self
            .spent_until
            .fetch_update(Relaxed, Relaxed, |until| Some(convert(until)));
    }

    /// A moment before the base is the base: tasks may see times that are a little apart.
    fn since_base(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.base))
    }
}

/// Exact for some 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
