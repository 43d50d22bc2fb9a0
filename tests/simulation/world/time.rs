//! The world's time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_filter::Clock;

/// A moment: what one node says to another is heard in the next one or the one after it.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The time of day at which a run begins: the first second of 2026.
const MORNING: Duration = Duration::from_secs(1_767_225_600);

/// The world's time, which registry and directory live by. It is the same wherever it is asked for.
pub(crate) struct Time {
    begin: Instant,
    ticks: AtomicU64,
}

impl Time {
    pub(crate) fn begin() -> Self {
        Self {
            begin: tokio::time::Instant::now().into_std(),
            ticks: AtomicU64::new(0),
        }
    }

    pub(crate) fn pass(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// What has passed.
    pub(crate) fn elapsed(&self) -> Duration {
        let ticks = self.ticks.load(Ordering::Relaxed);
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    pub(crate) fn ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for Time {
    fn now(&self) -> Instant {
        self.begin + self.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + MORNING + self.elapsed()
    }

    /// Whoever waits does so by a clock of its own.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let left = at.saturating_duration_since(self.now());
        Box::pin(tokio::time::sleep(left))
    }
}
