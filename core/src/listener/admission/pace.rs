//! How many new links a second: a token bucket of one second's worth, whose rate rises in steps.

use tokio::time::Instant;

use crate::listener::config::LinksPerSecond;

#[derive(Debug)]
pub(super) struct Pace {
    config: LinksPerSecond,
    start: Instant,
    /// Links that may come at once, as of `filled`.
    left: f64,
    filled: Instant,
}

impl Pace {
    /// Starts at the initial rate, with one second's worth to spend.
    pub(super) fn new(config: LinksPerSecond) -> Self {
        let now = Instant::now();
        Self {
            config,
            start: now,
            left: f64::from(config.initial),
            filled: now,
        }
    }

    pub(super) fn config(&self) -> LinksPerSecond {
        self.config
    }

    /// Takes one new link, if the pace allows it now.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let rate = self.rate(now);
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + rate * elapsed).min(rate);
        self.filled = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }

    /// Links a second at this time.
    fn rate(&self, now: Instant) -> f64 {
        let LinksPerSecond {
            initial,
            step,
            every,
            max,
        } = self.config;
        let steps = now.saturating_duration_since(self.start).as_nanos() / every.as_nanos().max(1);
        let risen = u128::from(initial).saturating_add(steps.saturating_mul(u128::from(step)));
        let rate = risen.min(u128::from(max.unwrap_or(initial)));
        f64::from(u32::try_from(rate).unwrap_or(u32::MAX))
    }
}
