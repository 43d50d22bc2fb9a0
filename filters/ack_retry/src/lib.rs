//! `ack_retry`: acknowledgements, both ways. The heart of delivery.
//!
//! ```yaml
//! - { id: ack, use: ack_retry, config: { retry: { initial: 10s, max: 60s, max_attempts: 6 }, max_unacked: 256, resume_for: 2m } }
//! ```
//!
//! # Upstream: every business message is answered
//!
//! A business message gets a receipt and goes on. When its outcome comes back through the filters behind, the client gets
//! one answer with the same key: UPSTREAM_ACK with the backend's answer in the body if it was accepted, UPSTREAM_NACK with
//! the fault if it was not or if that is not known. An answer goes down the chain on which its message began, so a change
//! of the pipeline loses none; for a client that has gone there is nobody to send it to. An answer that would make a frame larger than the link is sent is
//! left out: the client gets the UPSTREAM_ACK without a body, and in its fault [`answer.too_big`](ANSWER_TOO_BIG).
//!
//! # Downstream: a push is sent until the client acknowledges it
//!
//! A push is kept together with its receipt, and copies of it are sent: the first as soon as it is its turn, further ones
//! after growing waits, until DOWNSTREAM_ACK brings its key. The receipt is settled once, by what comes first:
//!
//! | what happens | outcome |
//! |---|---|
//! | the client acknowledges it | accepted, confirmed |
//! | its `expires_at` passes | [`push.expired`](EXPIRED) |
//! | it was sent `max_attempts` times, or `retry.total` is over | [`push.unacknowledged`](UNACKNOWLEDGED), effect unknown |
//! | the client is gone for `resume_for` | [`push.offline`](OFFLINE) |
//! | there is no room | [`push.window_full`](WINDOW_FULL), at once |
//! | links ended right after it was sent, `retry.max_breaks` in a row | [`push.breaks_links`](BREAKS_LINKS), effect unknown |
//! | its frame would be larger than the link is sent | [`push.too_big`](TOO_BIG), as soon as that is seen |
//! | another push with its key and another body is pending | [`push.key_reused`](KEY_REUSED), at once |
//! | another link of the client has taken over | [`link.replaced`](REPLACED), at once |
//!
//! A push that was sent at least once and not acknowledged may have arrived: its effect is then unknown, and its outcome
//! [`Unknown`](linkgate_filter::Outcome::Unknown). One that was never sent has certainly failed.
//!
//! **Order.** First transmissions leave in the order in which the pushes came. `max_unacked` of them may be on their way;
//! the others wait for their turn, bounded by `max_waiting`. Retransmissions may fall behind later pushes. A push that
//! wants no acknowledgement (`ack: false`) passes untouched, and whoever writes it to the socket settles it; while others
//! wait for their turn, it waits among them.
//!
//! **Acknowledgements** come in any order, twice, or for keys that nobody knows; the surplus is counted and does nothing.
//! An acknowledgement stops retransmission at once. It also counts when the push was sent on an earlier link of the
//! session.
//!
//! **The same key again.** While a push is pending, another with its key joins it: it is not sent, both have one outcome,
//! and the later of both expiries holds. So keys name messages: what is pushed with a key must always be the same.
//!
//! **Storms.** Retransmissions have a budget (`retry.budget`): of each business a share of what it sends for the first time
//! and a minimum, which no other business can spend, and some more that all businesses of the node share: as much as the one
//! that allows the least says. What exceeds it is put off, not dropped, and counts as no attempt. First transmissions and
//! those to a client that has come back are not held up by it: their pace is set elsewhere, by the sources of pushes and by
//! the admission of links.
//!
//! # When the client goes and comes back
//!
//! Pending pushes belong to the session. When the socket is gone they are parked: nothing is sent, expiries and
//! `retry.total` go on, and for `resume_for` from the disconnect the link's chain lives on for their sake. The client's
//! next link takes the session over, which fences the old link off, and sends all of them at once, the oldest first, as
//! far as the window goes. What that does to the count: the backoff starts anew, as it was the missing connection that
//! kept silent; the attempts count on, but each return is granted one transmission, whatever the count says;
//! `retry.total` is not touched and ends it for a client that comes and goes.
//!
//! A push that a client cannot stand, such as one over its own limit, must not keep it from all else: a push after which two
//! links have ended within `retry.initial` is not sent at once on the next one. It waits, longer each time, until answers and
//! other pushes are through, and then goes by itself; so the next end tells which one it is.
//!
//! A change of the pipeline is no return: as long as the `id` of the entry stays, the new chain finds the pushes with
//! their deadlines as they are, and nothing is sent because of it. An entry under another `id` finds nothing; what the
//! old one keeps ends as `push.offline` once the old chain has retired.
//!
//! # Bounds
//!
//! A link keeps at most `max_unacked + max_waiting` pushes of together `max_bytes`, each with up to 16 receipts; with
//! nothing pending it keeps a null pointer. Business messages are bounded by the pipeline's own limits.

mod backoff;
mod budget;
mod config;
mod counters;
mod fault;
mod filter;
mod session;

use std::sync::{Arc, OnceLock};

use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Coverage, Fact, FilterType, Open, OwnedScope, Prepare, Properties, RetryAccount, Room,
    SharedScope,
};

use crate::budget::{Budget, Member, Pool};
pub use crate::config::{Config, Retry, RetryBudget};
use crate::counters::Counters;
pub use crate::fault::{
    ANSWER_TOO_BIG, BREAKS_LINKS, EXPIRED, KEY_REUSED, NO_KEY, OFFLINE, REPLACED, TOO_BIG,
    UNACKNOWLEDGED, WINDOW_FULL,
};
pub use crate::filter::AckRetryFilter;
use crate::session::{Means, Session};

/// The filter `ack_retry`; see the [crate](self).
pub struct AckRetry(Arc<Shared>);

/// What the links of one entry share.
struct Shared {
    config: Config,
    counters: OnceLock<Counters>,
    /// From the first link on.
    member: OnceLock<Arc<Member>>,
}

impl Shared {
    fn counters(&self) -> &Counters {
        self.counters.get_or_init(Counters::default)
    }

    fn means<'a>(&'a self, budget: &'a Budget, room: Room) -> Means<'a> {
        Means {
            config: &self.config,
            counters: self.counters(),
            budget,
            room,
        }
    }
}

/// What only pushes bring about.
const OF_PUSHES: &[&str] = &[
    fault::EXPIRED,
    fault::UNACKNOWLEDGED,
    fault::OFFLINE,
    fault::WINDOW_FULL,
    fault::KEY_REUSED,
    fault::BREAKS_LINKS,
    "transmitted",
    "retransmitted",
    "resumed",
    "acked",
    "joined",
    "waited",
    "window_full",
    "put_off",
    "expired",
    "unacknowledged",
    "breaks_links",
    "parked",
    "offline",
    "replaced",
];

impl FilterType for AckRetry {
    const NAME: &'static str = "ack_retry";
    type Config = Config;
    type Filter = AckRetryFilter;

    fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        let problems = config.check();
        problems.into_result(Self(Arc::new(Shared {
            config,
            counters: OnceLock::new(),
            member: OnceLock::new(),
        })))
    }

    fn properties(&self) -> Properties {
        Properties::new()
            .needs(Fact::DECODED)
            // What is sent again is kept in clear and sealed anew each time.
            .needs(Fact::CLEAR)
            .needs_link()
            .gives(Fact::ANSWERED)
    }

    fn coverage(&self) -> Coverage {
        Coverage::new()
            .raises([
                fault::EXPIRED,
                fault::UNACKNOWLEDGED,
                fault::OFFLINE,
                fault::WINDOW_FULL,
                fault::KEY_REUSED,
                fault::BREAKS_LINKS,
            ])
            .of_pushes(OF_PUSHES)
    }

    fn filter(&self, cx: &Open<'_>) -> AckRetryFilter {
        // Looked up once, not for each of many links.
        self.0.counters.get_or_init(|| Counters::open(cx));
        let session = cx.owned(OwnedScope::Session, Session::default);
        let member = self.0.member.get_or_init(|| {
            let wants = self.0.config.retry.budget.shared_per_second;
            let pool = cx.shared(SharedScope::Node, Pool::default);
            Arc::new(Member::new(pool, wants))
        });
        let budget = Budget::new(
            cx.shared(SharedScope::Biz, RetryAccount::default),
            Arc::clone(member),
        );
        AckRetryFilter::new(Arc::clone(&self.0), session, budget, cx.room())
    }

    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let gone = "pushes that clients have not acknowledged yet end as offline, and clients get no answers any more";
        next.is_none().then(|| gone.to_owned())
    }
}

#[cfg(test)]
mod tests;
