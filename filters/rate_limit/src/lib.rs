//! `rate_limit`: a quota of business messages per link, user, business or node.
//!
//! Stands after the codec and before the trunk. Only UPSTREAM_MESSAGEs count: heartbeats and acknowledgements are free.
//! What is spent of a quota stays spent when the quota changes. No clock and no timer of its own may enter: time is the
//! context's.

mod bucket;
mod config;

use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_filter::problem::Problems;
use linkgate_filter::{
    CloseCode, Command, Context, Counter, Coverage, Fact, Fault, Filter, FilterType, Message,
    Never, Open, Outcome, Owned, OwnedScope, Prepare, Properties, SharedScope, Verdict,
};

use self::bucket::{Bucket, Quota, Take};
pub use self::config::{CloseAfter, Config, OnExcess, Per};

/// The code of the fault of a message over the quota.
pub const EXCEEDED: &str = "rate_limit.exceeded";

/// One `rate_limit` entry of a pipeline.
pub struct RateLimit {
    per: Per,
    quota: Quota,
    close_after: Option<CloseAfter>,
}

impl FilterType for RateLimit {
    const NAME: &'static str = "rate_limit";
    type Config = Config;
    type Filter = Limiter;

    fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        config.check()
    }

    /// It needs its link for every `per`: what exceeds the quota is answered to the one client that sent it, which a
    /// batch of several links' messages does not have.
    fn properties(&self) -> Properties {
        Properties::new().needs(Fact::DECODED).needs_link()
    }

    fn coverage(&self) -> Coverage {
        Coverage::new()
            .raises([EXCEEDED])
            .never(!self.quota.holds(), &["held"])
            .never(self.close_after.is_none(), &["closed"])
    }

    fn filter(&self, cx: &Open<'_>) -> Limiter {
        let now = cx.clock().now();
        let shared = |scope| cx.shared(scope, || Bucket::new(&self.quota, now));
        let bucket = match self.per {
            Per::Link => {
                let own = || Arc::new(Bucket::new(&self.quota, now));
                let bucket = cx.owned(OwnedScope::Link, own).with(|own| Arc::clone(own));
                // Claimed a moment ago: the successor that could have it by now finds a full bucket.
                bucket.unwrap_or_else(own)
            }
            Per::User => shared(SharedScope::User),
            Per::BizId => shared(SharedScope::Biz),
            Per::Node => shared(SharedScope::Node),
        };
        bucket.adopt(&self.quota, now);
        let strikes = self.close_after.map(|limit| Strikes {
            limit,
            made: cx.owned(OwnedScope::Link, || None),
        });
        Limiter {
            bucket,
            quota: self.quota,
            strikes,
            held: cx.counter("held"),
            exceeded: cx.counter("exceeded"),
            closed: cx.counter("closed"),
        }
    }
}

/// A `rate_limit` at work on one link.
pub struct Limiter {
    bucket: Arc<Bucket>,
    quota: Quota,
    strikes: Option<Strikes>,
    held: Counter,
    exceeded: Counter,
    closed: Counter,
}

impl Filter for Limiter {
    type Token = Never;
    type Timer = Never;
    type Waited = ();
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) {
            return Verdict::Next(m);
        }
        match self.bucket.take(&self.quota, cx.now()) {
            Take::Now => Verdict::Next(m),
            Take::Later(wait) => {
                self.held.inc();
                let turn = cx.clock().sleep_until(cx.now() + wait);
                cx.wait(async move {
                    turn.await;
                    (m, ())
                })
            }
            Take::Excess(wait) => self.exceed(m, wait, cx),
        }
    }
}

impl Limiter {
    fn exceed(&mut self, m: Message, wait: Duration, cx: &mut Context<'_, Self>) -> Verdict {
        self.exceeded.inc();
        if self.strikes.as_ref().is_some_and(|s| s.strike(cx.now())) {
            self.closed.inc();
            cx.close(CloseCode::RATE_LIMITED);
        }
        let fault = Fault::client(EXCEEDED)
            .retry_after(wait)
            .detail("more messages than the quota allows");
        if cx.is_heard(&m) {
            return Verdict::Refuse(m, fault);
        }
        let mut answer = Message::new(
            Arc::clone(&m.link),
            Command::RateLimitExceeded,
            m.key.clone(),
            Vec::new(),
        );
        answer.fault = Some(Box::new(fault.clone()));
        cx.downstream(answer);
        cx.settle(m, Outcome::Failed(fault));
        Verdict::Done
    }
}

/// The excesses of one link. They outlive a change of the pipeline.
struct Strikes {
    limit: CloseAfter,
    /// When the window began, and how many there have been in it.
    made: Owned<Option<(Instant, u32)>>,
}

impl Strikes {
    /// Notes an excess. Whether it was the one too many.
    fn strike(&self, now: Instant) -> bool {
        let strike = |made: &mut Option<(Instant, u32)>| {
            let in_window = |(since, _): &(Instant, u32)| *since + *self.limit.within > now;
            let (since, count) = made.filter(in_window).unwrap_or((now, 0));
            *made = Some((since, count.saturating_add(1)));
            count + 1 >= self.limit.excesses
        };
        self.made.with(strike).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
