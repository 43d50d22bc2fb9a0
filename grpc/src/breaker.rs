//! Spares an endpoint that fails, and never with a wall: how many tries it gets shrinks and grows with what they come to.
//!
//! ```text
//! closed ── failures of several users ──> open ── a rest, longer each time ──> half open ── probes succeed ──> closed,
//!   │                                      ^                                      │                          with few tries
//!   └─ Limit: tries at a time              └───────── a probe fails ──────────────┘                          at first
//! ```
//!
//! Knows nothing of what a call is; of the messages in it, whose they are.

mod limit;
mod window;

use std::collections::BTreeSet;
use std::time::Duration;

use linkgate_filter::units::HumanDuration;
use linkgate_filter::{Deserialize, JsonSchema, schemars};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Code;

use self::limit::Limit;
use self::window::Window;

/// When an endpoint that fails is spared. Tries count as failed that never reached the backend, took too long, lost their
/// connection, or ended as unavailable, unknown, internal, data_loss or deadline_exceeded. A connection that fails under
/// several calls is one failure, and so is all that fails of one user within `window`: a message that fails again and again
/// says nothing of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct BreakerRules {
    /// Failures in a row, each of another user, that open the breaker; at least as many as there are tries under way.
    /// Default: 5.
    pub failures: u32,
    /// The share of failures within `window` that opens it, above 0 and up to 1. Default: 0.5.
    pub failure_ratio: f64,
    /// Tries within `window` before `failure_ratio` says anything. Default: 20.
    pub min_calls: u32,
    /// The time that `failure_ratio` looks back. Default: 10s.
    pub window: HumanDuration,
    /// How long a breaker that opens lets nothing through. It doubles with each probe that fails. Messages wait for it
    /// meanwhile, if their deadline allows. Default: 100ms.
    pub first_open_for: HumanDuration,
    /// The longest such time. Default: 5s.
    pub open_for: HumanDuration,
    /// Tries let through at a time after that; so many successes close it, one failure opens it again. Default: 1.
    pub probes: u32,
    /// The share of failures among the latest tries that is taken for usual. Beyond it the tries that an endpoint gets at a
    /// time are lowered, by half of that share; while it holds, they grow again. Default: 0.1.
    pub usual_failures: f64,
    /// Tries at a time that an endpoint is left with, however much fails. Default: 1.
    pub min_in_flight: u32,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            failures: 5,
            failure_ratio: 0.5,
            min_calls: 20,
            window: Duration::from_secs(10).into(),
            first_open_for: Duration::from_millis(100).into(),
            open_for: Duration::from_secs(5).into(),
            probes: 1,
            usual_failures: 0.1,
            min_in_flight: 1,
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

/// What the end of a try says of its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered as it should, if only by a refusal.
    Well,
    /// It failed; or these users' messages are to blame. Nobody's: it failed.
    Failed(BTreeSet<u64>),
    /// It could not be reached, so that no message can be to blame.
    Unreachable,
    /// Nothing.
    Nothing,
}

/// What the end of a try has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The breaker has opened.
    pub opened: bool,
    /// The endpoint gets fewer tries at a time from now on.
    pub lowered: bool,
    /// So much has failed in a row that the connection may be dead in silence.
    pub doubtful: bool,
}

/// Why there is no leave for a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is none for so long.
    Resting(Duration),
    /// Probes are under way; if they fail, it rests for so long.
    Probing(Duration),
    /// As many are under way as the endpoint can bear.
    Full,
}

/// The breaker of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Grows with each change of state; results of an earlier state say nothing any more.
    epoch: u64,
    /// Tries under way, of whatever epoch.
    running: u32,
    /// Failures that count since the last success, and all.
    in_row: u32,
    all_in_row: u32,
    window: Window,
    limit: Limit,
    /// Times that it has opened since it was closed.
    rests: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        running: u32,
        passed: u32,
    },
}

/// The leave to make one try; to be given back with its result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    epoch: u64,
    round: u64,
}

impl Breaker {
    /// Lets a try through, or says why not.
    pub(crate) fn admit(&self, now: Instant, rules: &BreakerRules) -> Result<Pass, Refusal> {
        let mut inner = self.0.lock();
        if let State::Open { until } = inner.state {
            if now < until {
                return Err(Refusal::Resting(until - now));
            }
            let (running, passed) = (0, 0);
            inner.change(State::HalfOpen { running, passed });
        }
        let rest = inner.rest(rules);
        let under_way = inner.running;
        match &mut inner.state {
            State::HalfOpen { running, .. } if *running >= rules.probes => {
                return Err(Refusal::Probing(rest));
            }
            State::HalfOpen { running, .. } => *running += 1,
            _ => {
                if !inner.limit.admits(under_way) {
                    return Err(Refusal::Full);
                }
            }
        }
        inner.running += 1;
        let round = inner.limit.begin(under_way + 1);
        Ok(Pass {
            epoch: inner.epoch,
            round,
        })
    }

    /// Takes the result of a try.
    pub(crate) fn record(
        &self,
        pass: &Pass,
        sign: &Sign,
        now: Instant,
        rules: &BreakerRules,
    ) -> Change {
        let mut inner = self.0.lock();
        inner.running -= 1;
        let mut change = Change::default();
        if pass.epoch == inner.epoch {
            match inner.state {
                State::Closed => inner.while_closed(pass, sign, now, rules, &mut change),
                State::HalfOpen { .. } => inner.while_half_open(sign, now, rules, &mut change),
                State::Open { .. } => {}
            }
        }
        change
    }
}

impl Inner {
    fn while_closed(
        &mut self,
        pass: &Pass,
        sign: &Sign,
        now: Instant,
        rules: &BreakerRules,
        change: &mut Change,
    ) {
        const NOBODY: &BTreeSet<u64> = &BTreeSet::new();
        let culprits = match sign {
            Sign::Nothing => return,
            Sign::Well => None,
            Sign::Failed(users) => Some(users),
            Sign::Unreachable => Some(NOBODY),
        };
        change.lowered = self.limit.end(pass.round, culprits, self.running, rules);
        let Some(users) = culprits else {
            self.in_row = 0;
            self.all_in_row = 0;
            self.window.succeeded(now, *rules.window);
            return;
        };
        self.all_in_row += 1;
        if self.all_in_row >= rules.failures {
            self.all_in_row = 0;
            change.doubtful = true;
        }
        if !self.window.failed(users, now, *rules.window) {
            return;
        }
        self.in_row += 1;
        let (all, failed) = self.window.counts();
        let mostly = f64::from(failed) >= rules.failure_ratio * f64::from(all);
        // Of many that are under way a few may well fail in a row.
        let enough = match sign {
            Sign::Unreachable => rules.failures,
            _ => rules.failures.max(self.limit.peak()),
        };
        if self.in_row >= enough || (all >= rules.min_calls && mostly) {
            self.open(now, rules);
            change.opened = true;
        }
    }

    fn while_half_open(
        &mut self,
        sign: &Sign,
        now: Instant,
        rules: &BreakerRules,
        change: &mut Change,
    ) {
        let State::HalfOpen { running, passed } = &mut self.state else {
            return;
        };
        *running -= 1;
        match sign {
            Sign::Nothing => {}
            Sign::Failed(_) | Sign::Unreachable => {
                self.open(now, rules);
                change.opened = true;
            }
            Sign::Well => {
                *passed += 1;
                if *passed >= rules.probes {
                    self.rests = 0;
                    self.limit.restart(rules);
                    self.change(State::Closed);
                }
            }
        }
    }

    fn open(&mut self, now: Instant, rules: &BreakerRules) {
        let until = now + self.rest(rules);
        self.rests += 1;
        self.limit.give_up();
        self.window = Window::default();
        self.in_row = 0;
        self.all_in_row = 0;
        self.change(State::Open { until });
    }

    /// How long it lets nothing through when it opens next.
    fn rest(&self, rules: &BreakerRules) -> Duration {
        let doubled = rules.first_open_for.saturating_mul(1 << self.rests.min(16));
        doubled.min(*rules.open_for)
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests;
