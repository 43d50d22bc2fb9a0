//! The clock of a node: tokio's, so that tests can turn it, and the system's for the time of day.

use std::time::{Instant, SystemTime};

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
