//! Time as filters see it.

use std::time::{Instant, SystemTime};

use futures_util::future::BoxFuture;

/// The clock of a node. In tests it is turned by hand.
pub trait Clock: Send + Sync {
    /// Now, for measuring and for timers.
    fn now(&self) -> Instant;

    /// Now, as the world counts it; for what comes from outside, such as a push's expiry.
    fn wall(&self) -> SystemTime;

    /// Ends at `at`.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}
