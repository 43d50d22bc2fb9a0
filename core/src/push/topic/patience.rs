//! How long a source waits for what.

use std::time::{Duration, Instant};

use super::ledger::Receiver;
use crate::push::config::OnExpired;
use crate::push::outcome::{ReceiverOutcome, Status};

/// How long a user is let alone who has no room.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// What a source waits for, and how long.
pub(super) struct Patience {
    pub(super) min_hold: Duration,
    pub(super) max_hold: Duration,
    pub(super) retry_after: Duration,
    pub(super) give_up_after: Duration,
    pub(super) offline_after: Duration,
    pub(super) on_expired: OnExpired,
    /// Users who are not connected are waited for.
    pub(super) waits: bool,
}

/// What a push waits for that came too early.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    /// For room, or for its business: so long before another try.
    Room(Duration),
    /// For its user, and how long.
    User(Instant),
    /// For word of where its user is: so long before another try.
    Word(Duration),
}

impl Patience {
    /// Until when a push waits for a user who is not connected: for `offline_after` since the user was here, and as long after a start in any case, as
    /// nobody could come while the node was down.
    pub(super) fn offline_at(&self, receiver: &Receiver, ready: Instant) -> Instant {
        let at = receiver.waits_until(self.offline_after);
        at.max(ready + self.offline_after)
    }

    /// What a push waits for by an outcome that says it came too early: there was no room, or the user was not there yet.
    pub(super) fn early(
        &self,
        outcome: &ReceiverOutcome,
        until: Instant,
        now: Instant,
    ) -> Option<Wait> {
        match outcome.status {
            Status::Offline if self.waits && now < until => Some(Wait::User(until)),
            Status::Rejected => {
                let after = outcome.reason.as_ref()?.retry_after?.max(PAUSE);
                Some(match outcome.is_whereabouts_unknown() {
                    true => Wait::Word(after),
                    false => Wait::Room(after),
                })
            }
            _ => None,
        }
    }
}
