//! `config:` of a `rate_limit` entry, and what of it makes sense.

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::units::{HumanDuration, Rate};
use linkgate_filter::{Deserialize, JsonSchema};
use serde::Serialize;

use crate::RateLimit;
use crate::bucket::Quota;

/// A quota of business messages from clients. Heartbeats and acknowledgements are free.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who shares the quota: `link` (each connection has its own), `user` (all devices of a user on this node), `biz_id`
    /// (all links of the business on this node) or `node` (all links of the node whose pipelines have a filter of this
    /// `id`, which should then have the same `rate` everywhere). `link` by default.
    #[serde(default)]
    per: Per,
    /// How many messages may pass in the long run, such as `50/s` or `100/m`. A change keeps what is spent: who has used
    /// up the old quota starts with the new one used up.
    rate: Rate,
    /// How many messages may pass at once after a quiet time. One second's worth of `rate` by default, and at least 1.
    burst: Option<u32>,
    /// What becomes of a message over the quota. `answer`, the default: the client gets RATE_LIMIT_EXCEEDED with the
    /// message's key and the time to wait (UPSTREAM_NACK with the fault `rate_limit.exceeded` where `ack_retry` stands
    /// before this filter). `hold`: it waits for its turn, and later ones of its link behind it, for at most `max_hold`;
    /// what would have to wait longer is answered. `close`: it is answered and the link is closed.
    #[serde(default)]
    on_excess: OnExcess,
    /// With `on_excess: hold`: the longest a message is held back. `1s` by default, at most `1m`.
    max_hold: Option<HumanDuration>,
    /// Close the link of a client that does not slow down. Never by default.
    close_after: Option<CloseAfter>,
}

/// Who shares a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each link has its own.
    #[default]
    Link,
    /// All links of a user on this node.
    User,
    /// All links of the business on this node.
    BizId,
    /// All links of the node.
    Node,
}

/// What becomes of a message over the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExcess {
    /// It is answered.
    #[default]
    Answer,
    /// It waits for its turn, if that comes soon enough.
    Hold,
    /// It is answered and the link closed.
    Close,
}

/// When the link of a client that does not slow down is closed, with close code 4503 (`rate_limited`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseAfter {
    /// At which excess the link is closed, at least 1. Messages that were held and passed are no excess.
    pub excesses: u32,
    /// Counted from the first excess on; after this the count starts anew. `10s` by default.
    #[serde(default = "CloseAfter::within")]
    pub within: HumanDuration,
}

impl CloseAfter {
    fn within() -> HumanDuration {
        Duration::from_secs(10).into()
    }
}

impl Config {
    const MAX_HOLD: Duration = Duration::from_secs(1);
    const LONGEST_HOLD: Duration = Duration::from_secs(60);

    /// The prepared entry.
    ///
    /// # Errors
    /// Everything that makes no sense.
    pub(crate) fn check(&self) -> Result<RateLimit, Problems> {
        let mut problems = Problems::new();
        let quota = self.quota(&mut problems);
        let patience = self.patience(&mut problems);
        let close_after = self.close_after(&mut problems);
        match quota {
            Some(quota) => problems.into_result(RateLimit {
                per: self.per,
                quota: quota.with_patience(patience),
                close_after,
            }),
            None => Err(problems),
        }
    }

    fn quota(&self, problems: &mut Problems) -> Option<Quota> {
        let interval = self.rate.interval();
        let of_a_second = Duration::from_secs(1).as_nanos() / interval.as_nanos().max(1);
        let of_a_second = u32::try_from(of_a_second).unwrap_or(u32::MAX).max(1);
        let burst = self.burst.unwrap_or(of_a_second);
        if burst == 0 {
            let problem = problems.at("burst", "a burst of 0 lets nothing pass");
            problem.hint("write 1 or more, or leave it out for one second's worth of `rate`");
            return None;
        }
        let quota = Quota::new(interval, burst);
        if quota.is_none() {
            let what = format!(
                "at {} a spent burst of {burst} takes more than a year to come back",
                self.rate
            );
            problems
                .at("burst", what)
                .hint("raise `rate`, or lower `burst`");
        }
        quota
    }

    fn patience(&self, problems: &mut Problems) -> Duration {
        let Some(max_hold) = self.max_hold else {
            return match self.on_excess {
                OnExcess::Hold => Self::MAX_HOLD,
                OnExcess::Answer | OnExcess::Close => Duration::ZERO,
            };
        };
        if self.on_excess != OnExcess::Hold {
            let problem = problems.at("max_hold", "nothing is held back here");
            problem.hint("write `on_excess: hold`, or remove `max_hold`");
        } else if max_hold.is_zero() {
            let problem = problems.at("max_hold", "0s holds nothing back");
            problem.hint("write `on_excess: answer` and remove `max_hold`");
        } else if *max_hold > Self::LONGEST_HOLD {
            let problem = problems.at("max_hold", format!("{max_hold} is longer than 1m"));
            problem.hint("clients give up on a message long before; write 1m or less");
        }
        *max_hold
    }

    fn close_after(&self, problems: &mut Problems) -> Option<CloseAfter> {
        let Some(close_after) = self.close_after else {
            let at_once = CloseAfter {
                excesses: 1,
                within: CloseAfter::within(),
            };
            return (self.on_excess == OnExcess::Close).then_some(at_once);
        };
        if self.on_excess == OnExcess::Close {
            let problem = problems.at("close_after", "the first excess closes the link already");
            problem.hint("write `on_excess: answer` or `hold`, or remove `close_after`");
        }
        if close_after.excesses == 0 {
            let problem = problems.at(["close_after", "excesses"], "0 excesses are always there");
            problem.hint("write 1 or more, or remove `close_after`");
        }
        if close_after.within.is_zero() {
            let problem = problems.at(["close_after", "within"], "0s is no window");
            problem.hint("write a duration such as 10s");
        }
        Some(close_after)
    }
}

#[cfg(test)]
mod tests;
