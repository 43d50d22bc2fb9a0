//! How often things are done without being asked for.

use std::time::Duration;

/// How often things are done without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// What is known is compared with what is there. Default: 5 min.
    pub audit: Duration,
    /// A watch that says nothing for so long is asked whether it lives. Default: 10 s.
    pub quiet: Duration,
    /// A watch that does not answer this for so long is given up. Default: 5 s.
    pub dead: Duration,
    /// The first pause after a failure; it doubles with each. Default: 0.2 s.
    pub backoff: Duration,
    /// The longest pause after a failure. Default: 10 s.
    pub max_backoff: Duration,
    /// How long the state of a node outlives the node. Full seconds. Default: 30 s.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            audit: Duration::from_secs(300),
            quiet: Duration::from_secs(10),
            dead: Duration::from_secs(5),
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            lease: Duration::from_secs(30),
        }
    }
}

impl Timing {
    /// The pause after so many failures in a row.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = self.backoff.saturating_mul(factor).min(self.max_backoff);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
