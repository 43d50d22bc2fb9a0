//! One of those a push is for.

use std::time::{Duration, Instant};

use crate::push::outcome::ReceiverOutcome;

/// One of those a push is for.
pub(in crate::push::topic) struct Receiver {
    pub(in crate::push::topic) user: String,
    pub(in crate::push::topic) stage: Stage,
    /// It was sent to the user before, and may have arrived.
    pub(in crate::push::topic) sent: bool,
    absence: Absence,
}

/// How long a push waits for want of its user.
#[derive(Clone, Copy, Debug)]
struct Absence {
    /// Since when.
    since: Instant,
    /// How long that was so before, on other nodes too.
    before: Duration,
    /// It cannot be known now whether the user is there: such time does not count.
    is_unknown: bool,
}

impl Receiver {
    /// To be sent from `since` on. Its user has been waited for before, so long.
    pub(in crate::push::topic) fn new(
        user: String,
        sent: bool,
        (since, before): (Instant, Duration),
    ) -> Self {
        Self {
            user,
            stage: Stage::Open,
            sent,
            absence: Absence {
                since,
                before,
                is_unknown: false,
            },
        }
    }

    /// The user was here just now, or nobody could look.
    pub(in crate::push::topic) fn seen(&mut self, now: Instant) {
        self.absence = Absence {
            since: now,
            before: Duration::ZERO,
            is_unknown: false,
        };
    }

    /// Others saw the user at some time.
    pub(in crate::push::topic) fn was_seen(&mut self, at: Instant) {
        if at > self.absence.since {
            self.seen(at);
        }
    }

    /// The user was looked for, with this outcome. Whether it says that they were here.
    pub(in crate::push::topic) fn was_looked_for(
        &mut self,
        outcome: &ReceiverOutcome,
        now: Instant,
    ) -> bool {
        let is_unknown = outcome.is_whereabouts_unknown();
        let is_here = !is_unknown && !outcome.was_absent();
        if is_here {
            self.seen(now);
        } else if is_unknown || self.absence.is_unknown {
            self.absence = Absence {
                since: now,
                before: self.waited(now),
                is_unknown,
            };
        }
        is_here
    }

    /// How long it has waited for the user, who is not here.
    pub(in crate::push::topic) fn waited(&self, now: Instant) -> Duration {
        let Absence {
            since,
            before,
            is_unknown,
        } = self.absence;
        match is_unknown {
            true => before,
            false => before.saturating_add(now.saturating_duration_since(since)),
        }
    }

    /// When it will have waited for so long.
    pub(in crate::push::topic) fn waits_until(&self, patience: Duration) -> Instant {
        self.absence.since + patience.saturating_sub(self.absence.before)
    }
}

/// How far a push is with one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::push::topic) enum Stage {
    /// To be sent.
    Open,
    /// Under way.
    Sent,
    /// Settled.
    Ended(ReceiverOutcome),
}
