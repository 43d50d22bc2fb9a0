//! Leaves an endpoint that fails alone for a while. Knows nothing of what a call is.

use std::collections::VecDeque;
use std::time::Duration;

use linkgate_filter::units::HumanDuration;
use linkgate_filter::{Deserialize, JsonSchema, schemars};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Code;

/// When an endpoint is left alone for a while. Tries count as failed that never reached the backend, took too long, lost
/// their connection, or ended as unavailable, unknown, internal, data_loss or deadline_exceeded. A connection that fails
/// under several calls is one failure.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct BreakerRules {
    /// Failed tries in a row that open the breaker. Default: 5.
    pub failures: u32,
    /// The share of failed tries within `window` that opens it, above 0 and up to 1. Default: 0.5.
    pub failure_ratio: f64,
    /// Tries within `window` before `failure_ratio` says anything. Default: 20.
    pub min_calls: u32,
    /// The time that `failure_ratio` looks back. Default: 10s.
    pub window: HumanDuration,
    /// How long an open breaker lets nothing through. Default: 5s.
    pub open_for: HumanDuration,
    /// Tries let through at a time after that; so many successes close it, one failure opens it again. Default: 1.
    pub probes: u32,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            failures: 5,
            failure_ratio: 0.5,
            min_calls: 20,
            window: Duration::from_secs(10).into(),
            open_for: Duration::from_secs(5).into(),
            probes: 1,
        }
    }
}

/// Whether a status says that the endpoint is to blame, as [`BreakerRules`] has it.
pub fn is_trouble(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss
    )
}

/// Closed: all pass. Open: none. Half open: a few at a time, to see.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Grows with each change of state; results of an earlier state say nothing any more.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed { in_row: u32, window: Window },
    Open { until: Instant },
    HalfOpen { running: u32, passed: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            in_row: 0,
            window: Window::default(),
        }
    }
}

/// The leave to make one try; to be given back with its result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    epoch: u64,
}

impl Breaker {
    /// Lets a try through, or says how long none will be.
    pub(crate) fn admit(&self, now: Instant, rules: &BreakerRules) -> Result<Pass, Duration> {
        let mut inner = self.0.lock();
        if let State::Open { until } = inner.state {
            if now < until {
                return Err(until - now);
            }
            let (running, passed) = (0, 0);
            inner.change(State::HalfOpen { running, passed });
        }
        if let State::HalfOpen { running, .. } = &mut inner.state {
            if *running >= rules.probes {
                return Err(Duration::ZERO);
            }
            *running += 1;
        }
        Ok(Pass { epoch: inner.epoch })
    }

    /// Takes the result of a try; `None`: it says nothing. Answers whether the breaker has opened.
    pub(crate) fn record(
        &self,
        pass: &Pass,
        ok: Option<bool>,
        now: Instant,
        rules: &BreakerRules,
    ) -> bool {
        let mut inner = self.0.lock();
        if pass.epoch != inner.epoch {
            return false;
        }
        let open = match (&mut inner.state, ok) {
            (State::Closed { in_row, window }, Some(ok)) => {
                *in_row = if ok { 0 } else { *in_row + 1 };
                let (all, failed) = window.add(ok, now, *rules.window);
                *in_row >= rules.failures
                    || (!ok
                        && all >= rules.min_calls
                        && f64::from(failed) >= rules.failure_ratio * f64::from(all))
            }
            (State::HalfOpen { running, passed }, ok) => {
                *running -= 1;
                *passed += u32::from(ok == Some(true));
                if *passed >= rules.probes {
                    inner.change(State::default());
                }
                ok == Some(false)
            }
            _ => false,
        };
        if open {
            let until = now + *rules.open_for;
            inner.change(State::Open { until });
        }
        open
    }
}

impl Inner {
    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// Counts of the last while, in tenths of it.
#[derive(Debug, Default)]
struct Window(VecDeque<Bucket>);

#[derive(Debug)]
struct Bucket {
    since: Instant,
    all: u32,
    failed: u32,
}

impl Window {
    /// Adds a try; answers with all of the last `length` and how many of them failed.
    fn add(&mut self, ok: bool, now: Instant, length: Duration) -> (u32, u32) {
        while self.0.front().is_some_and(|b| b.since + length <= now) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|b| b.since + length / 10 <= now) {
            self.0.push_back(Bucket {
                since: now,
                all: 0,
                failed: 0,
            });
        }
        if let Some(bucket) = self.0.back_mut() {
            bucket.all = bucket.all.saturating_add(1);
            bucket.failed = bucket.failed.saturating_add(u32::from(!ok));
        }
        self.0.iter().fold((0, 0), |(all, failed), b| {
            (all.saturating_add(b.all), failed.saturating_add(b.failed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> BreakerRules {
        BreakerRules {
            failures: 3,
            min_calls: 10,
            probes: 2,
            ..BreakerRules::default()
        }
    }

    /// One try with this result; `false` if it was not let through.
    fn attempt(breaker: &Breaker, ok: bool) -> bool {
        let now = Instant::now();
        let Ok(pass) = breaker.admit(now, &rules()) else {
            return false;
        };
        breaker.record(&pass, Some(ok), now, &rules());
        true
    }

    fn opened(breaker: &Breaker) -> bool {
        matches!(breaker.0.lock().state, State::Open { .. })
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_and_probes_close() {
        let breaker = Breaker::default();
        for ok in [false, false, true, false, false] {
            assert!(attempt(&breaker, ok));
        }
        assert!(!opened(&breaker), "a success in between starts anew");
        attempt(&breaker, false);
        assert_eq!(
            breaker.admit(Instant::now(), &rules()),
            Err(Duration::from_secs(5))
        );

        tokio::time::advance(Duration::from_secs(5)).await;
        let now = Instant::now();
        let first = breaker.admit(now, &rules()).unwrap();
        let second = breaker.admit(now, &rules()).unwrap();
        assert!(
            breaker.admit(now, &rules()).is_err(),
            "two probes at a time"
        );
        breaker.record(&first, Some(true), now, &rules());
        breaker.record(&second, None, now, &rules());
        assert!(
            attempt(&breaker, true),
            "a probe without result is repeated"
        );
        assert!(matches!(breaker.0.lock().state, State::Closed { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_again_and_late_results_say_nothing() {
        let breaker = Breaker::default();
        let late = breaker.admit(Instant::now(), &rules()).unwrap();
        for _ in 0..3 {
            attempt(&breaker, false);
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(attempt(&breaker, false));
        assert!(opened(&breaker));
        breaker.record(&late, Some(true), Instant::now(), &rules());
        assert!(opened(&breaker));
        assert!(!attempt(&breaker, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_ratio_opens_within_its_window_only() {
        let breaker = Breaker::default();
        for n in 0..9 {
            assert!(attempt(&breaker, n % 2 == 0));
        }
        tokio::time::advance(Duration::from_secs(11)).await;
        attempt(&breaker, false);
        assert!(!opened(&breaker), "the old ones are forgotten");
        for n in 0..9 {
            attempt(&breaker, n % 2 == 0);
        }
        attempt(&breaker, false);
        assert!(opened(&breaker));
    }
}
