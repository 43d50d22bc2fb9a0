//! How long to wait for an acknowledgement before a push is sent again. Nothing but arithmetic: no clock, no message.

use std::time::Duration;

/// Waiting times that grow from one transmission to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// After the first transmission.
    pub(crate) initial: Duration,
    /// Where the growth ends.
    pub(crate) max: Duration,
    /// Each time is so many times the one before, at least 1.
    pub(crate) multiplier: f64,
    /// The part of a time that chance may add or take, from 0 to below 1.
    pub(crate) jitter: f64,
}

impl Backoff {
    /// The time after transmission number `position`, counted from 0; `random` spreads it.
    pub(crate) fn wait(&self, position: u32, random: u64) -> Duration {
        let exponent = i32::try_from(position).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        let wait = grown.min(self.max.as_secs_f64());
        Duration::from_secs_f64(wait * self.spread(random))
    }

    /// A factor of around 1.
    fn spread(&self, random: u64) -> f64 {
        // The upper 53 bits are what a float holds exactly.
        const SCALE: f64 = (1_u64 << 53) as f64;
        let chance = (random >> 11) as f64 / SCALE;
        1.0 + self.jitter * (2.0 * chance - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    const EVEN: u64 = 1 << 63;

    fn backoff(jitter: f64) -> Backoff {
        Backoff {
            initial: Duration::from_secs(10),
            max: Duration::from_secs(60),
            multiplier: 2.0,
            jitter,
        }
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let waits = [0, 1, 2, 3, 4, u32::MAX].map(|n| backoff(0.0).wait(n, 7).as_secs());
        assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn chance_adds_and_takes_alike() {
        let waits = [0, EVEN, u64::MAX].map(|chance| backoff(0.2).wait(0, chance).as_millis());
        assert_eq!(waits, [8_000, 10_000, 12_000]);
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_or_longer_than_said(position: u32, random: u64, jitter in 0.0..0.99) {
            let (even, wait) = (backoff(0.0).wait(position, 0), backoff(jitter).wait(position, random));
            let slack = Duration::from_nanos(10);
            prop_assert!(wait + slack >= even.mul_f64(1.0 - jitter));
            prop_assert!(wait <= even.mul_f64(1.0 + jitter) + slack);
        }
    }
}
