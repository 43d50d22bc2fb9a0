//! The clock of a node: tokio's, so that tests can turn it, and the system's for the time of day.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_filter::Clock;

/// The clock of a running node.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[allow(clippy::disallowed_methods)] // The one place where a node asks for the time of day.
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// Counts how long the machine was suspended, in full seconds: tokio's clock, as the system's that it goes by, stands still
/// meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Suspends {
    /// Of the time since the machine was started, what the clock had not counted when this began.
    before: Duration,
}

impl Suspends {
    /// Counts from now on.
    pub fn begin() -> Self {
        Self {
            before: uncounted(),
        }
    }

    /// How long the machine was suspended since.
    pub fn since(&self) -> Duration {
        // Two clocks that are read one after the other differ a little.
        let since = uncounted().saturating_sub(self.before);
        Duration::from_secs((since + Duration::from_millis(500)).as_secs())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn uncounted() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let at = clock_gettime(clock);
        let seconds = u64::try_from(at.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(at.tv_nsec).unwrap_or_default())
    };
    let counted = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(counted)
}

/// Elsewhere the clock may count it, or not.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn uncounted() -> Duration {
    Duration::ZERO
}
