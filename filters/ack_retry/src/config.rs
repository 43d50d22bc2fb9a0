//! `config:` of an `ack_retry` entry, and what of it makes sense.

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::units::{ByteSize, HumanDuration};
use linkgate_filter::{Deserialize, JsonSchema, RetryTerms};
use serde::Serialize;

use crate::backoff::Backoff;
use crate::budget;

/// Answers clients' messages, and sends pushes again until the client acknowledges them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When a push that is not acknowledged is sent again, and when it is given up.
    pub retry: Retry,
    /// How many pushes of a link may be on their way to the client without its acknowledgement. `256` by default, 1 to
    /// 65536. Further ones wait for their turn, in order.
    pub max_unacked: usize,
    /// How many pushes of a link may wait for their turn. `1024` by default, at most 65536; `0`: none waits. Further ones
    /// are refused with the fault `push.window_full`, which invites the backend to push again later.
    pub max_waiting: usize,
    /// What the pushes of a link that are on their way or wait for their turn may weigh together: body, key and 128 bytes
    /// for each. `1MiB` by default, at least 1 byte. Further ones are refused with `push.window_full`; a single push is
    /// taken whatever it weighs.
    pub max_bytes: ByteSize,
    /// How long the unacknowledged pushes of a client that went away are kept for its return, counted from the
    /// disconnect. `2m` by default, at most `1d`; `0s`: not at all. When it returns in time they are sent at once, the
    /// oldest first; otherwise they end with the fault `push.offline`.
    pub resume_for: HumanDuration,
}

/// Retransmission. Whichever of `max_attempts`, `total` and the push's own `expires_at` comes first ends it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How long to wait for the acknowledgement of the first transmission before the second. `10s` by default, at least
    /// `10ms`.
    pub initial: HumanDuration,
    /// The longest wait between two transmissions, before jitter. `60s` by default.
    pub max: HumanDuration,
    /// How much longer each wait is than the one before, as a factor. `2` by default, 1 to 10.
    pub multiplier: f64,
    /// Chance makes each wait longer or shorter by at most this part of it, so that links do not move in step. `0.2` by
    /// default, 0 to 0.9.
    pub jitter: f64,
    /// How often a push is sent, the first time included. `6` by default, at least 1. After the last transmission one more
    /// wait is left for the acknowledgement; then the push ends with the fault `push.unacknowledged`. Transmissions on
    /// earlier links of the same session count, but a client that comes back is always sent the push once.
    pub max_attempts: u32,
    /// How long after the first transmission a push is given up, with the same fault, however often it was sent and
    /// however often the client went away meanwhile. `10m` by default, at least `initial`.
    pub total: HumanDuration,
    /// How many links in a row may end within `initial` after a push was sent on them, before it is rejected with the fault
    /// `push.breaks_links`: it is taken for one that the client cannot stand, such as one larger than its own limit. From
    /// the second such link on it waits, at least `initial` and longer each time, so that all else gets through first, and
    /// is sent by itself. `5` by default; `0`: never.
    pub max_breaks: u32,
    /// The bound on retransmissions of all links of the node together, fair among businesses.
    pub budget: RetryBudget,
}

/// How many retransmissions the node makes, over some ten seconds, by all pipelines whose `ack_retry` has this `id`: each
/// business what `ratio` and `min_per_second` allow it, whatever other businesses do, and together `shared_per_second` more.
/// What exceeds it is put off by about `initial`, as often as needed; that is no attempt. Sending to a client that has
/// come back is not bound by it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBudget {
    /// Retransmissions of a business per push that it sends for the first time. `0.2` by default, 0 to 100.
    pub ratio: f64,
    /// Retransmissions a second that a business makes in any case. `10` by default, at least 1.
    pub min_per_second: u32,
    /// Retransmissions a second that all businesses of the node share: whoever needs more than its own takes them, first
    /// come, first served. Where pipelines at work say different numbers, the smallest holds for all, so none can take more
    /// than the others allow; a pipeline that is replaced counts until its last link has left it. `90` by default; `0`: each
    /// has its own and no more.
    pub shared_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            max_unacked: 256,
            max_waiting: 1_024,
            max_bytes: ByteSize::mib(1),
            resume_for: Duration::from_secs(120).into(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(10).into(),
            max: Duration::from_secs(60).into(),
            multiplier: 2.0,
            jitter: 0.2,
            max_attempts: 6,
            total: Duration::from_secs(600).into(),
            max_breaks: 5,
            budget: RetryBudget::default(),
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            min_per_second: 10,
            shared_per_second: 90,
        }
    }
}

impl Config {
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST_PARK: Duration = Duration::from_secs(86_400);
    const MOST_PUSHES: usize = 65_536;

    /// Checks the values, each by itself and together.
    pub(crate) fn check(&self) -> Problems {
        let mut problems = Problems::new();
        if !(1..=Self::MOST_PUSHES).contains(&self.max_unacked) {
            problems
                .at(
                    "max_unacked",
                    format!("{} is not within 1 to 65536", self.max_unacked),
                )
                .hint("256 suits most; it bounds what is sent again when a client comes back");
        }
        if self.max_waiting > Self::MOST_PUSHES {
            problems
                .at("max_waiting", format!("{} is more than 65536", self.max_waiting))
                .hint("let the backend push again later instead: a push that finds no room is refused with a fault that says so");
        }
        if self.max_bytes.bytes() == 0 {
            problems
                .at("max_bytes", "0 bytes leave no room for a push")
                .hint("write a size such as `1MiB`");
        }
        if *self.resume_for > Self::LONGEST_PARK {
            problems
                .at("resume_for", format!("{} is longer than one day", self.resume_for))
                .hint("pushes are kept in memory: let the backend keep them for clients that stay away");
        }
        self.retry.check(&mut problems);
        problems
    }
}

impl Retry {
    fn check(&self, problems: &mut Problems) {
        let Self {
            initial,
            max,
            total,
            ..
        } = self;
        if **initial < Config::SHORTEST {
            problems
                .at(
                    ["retry", "initial"],
                    format!("{initial} is shorter than 10ms"),
                )
                .hint("a client on a phone network needs a second or more to acknowledge");
        }
        if max < initial {
            problems
                .at(
                    ["retry", "max"],
                    format!("{max} is shorter than `initial`, {initial}"),
                )
                .hint("raise `max`, or lower `initial`");
        }
        if total < initial {
            problems
                .at(
                    ["retry", "total"],
                    format!(
                        "{total} is shorter than `initial`, {initial}: no push would be sent again"
                    ),
                )
                .hint("raise `total`; to send each push once, write `max_attempts: 1`");
        }
        within(
            problems,
            ["retry", "multiplier"],
            self.multiplier,
            1.0,
            10.0,
        );
        within(problems, ["retry", "jitter"], self.jitter, 0.0, 0.9);
        if self.max_attempts == 0 {
            problems
                .at(
                    ["retry", "max_attempts"],
                    "with 0 attempts nothing would be sent",
                )
                .hint("the first transmission counts: 1 sends each push once");
        }
        within(
            problems,
            ["retry", "budget", "ratio"],
            self.budget.ratio,
            0.0,
            100.0,
        );
        if self.budget.min_per_second == 0 {
            problems
                .at(
                    ["retry", "budget", "min_per_second"],
                    "0 would put off the pushes of a quiet business for good",
                )
                .hint("write 1 or more");
        }
    }

    /// Whether a push that so many links have ended after is to go by itself, and how long after the others.
    pub(crate) fn apart(&self, breaks: u32) -> Option<Duration> {
        /// One link may end for any reason.
        const CHANCE: u32 = 1;
        let beyond = breaks.checked_sub(CHANCE + 1)?;
        (self.max_breaks > 0).then(|| self.backoff().wait(beyond, u64::MAX / 2))
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            initial: *self.initial,
            max: *self.max,
            multiplier: self.multiplier,
            jitter: self.jitter,
        }
    }

    /// On which a business sends again.
    pub(crate) fn terms(&self) -> RetryTerms {
        budget::terms(self.budget.ratio, self.budget.min_per_second)
    }
}

fn within<const N: usize>(
    problems: &mut Problems,
    path: [&str; N],
    value: f64,
    least: f64,
    most: f64,
) {
    // Not a number is in no range.
    if !(least..=most).contains(&value) {
        problems.at(path, format!("{value} is not within {least} to {most}"));
    }
}
