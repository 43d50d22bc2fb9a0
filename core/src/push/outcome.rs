//! What became of a push for one receiver, made up of what its links say.

use std::time::Duration;

use linkgate_filter::{Effect, Fault, Outcome};

/// What became of a push for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverOutcome {
    /// How it ended.
    pub status: Status,
    /// Why, unless it arrived.
    pub reason: Option<Fault>,
}

/// How a push ended for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The client acknowledged it.
    Delivered,
    /// It was written to the socket, and nobody confirms it.
    Sent,
    /// The user is not connected, or left for good without acknowledging it.
    Offline,
    /// Its time, or the caller's patience, was over before it was acknowledged.
    Expired,
    /// It was not taken.
    Rejected,
}

impl Status {
    /// As metrics call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Sent => "sent",
            Self::Offline => "offline",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }
}

/// The code of a push whose `expires_at` has passed.
pub(super) const EXPIRED: &str = "push.expired";

/// The code of a push whose user has no link.
const OFFLINE: &str = "push.offline";

/// The code of a push of whose user it cannot be known now where the links are.
const WHEREABOUTS_UNKNOWN: &str = "push.whereabouts_unknown";

/// The code of a push of which nothing is known yet.
const UNSETTLED: &str = "push.unsettled";

/// The code of what a link's former pipeline gave up at a change; its present one can be tried.
const RETIRED: &str = "link.retired";

/// The code of what went to another node, of which nothing is heard: its links may be there all the same.
const SILENT: &str = "push.peer_silent";

/// The codes of faults with which a link, its pipeline, or its node says that it is no longer the one to send to.
const LEFT: [&str; 4] = ["link.gone", "link.replaced", RETIRED, SILENT];

impl ReceiverOutcome {
    fn of(status: Status, reason: Option<Fault>) -> Self {
        Self { status, reason }
    }

    /// The user has no link here.
    pub(super) fn offline() -> Self {
        let fault = Fault::client(OFFLINE).retryable();
        Self::of(
            Status::Offline,
            Some(fault.detail("the user is not connected")),
        )
    }

    /// `expires_at` has passed.
    pub(super) fn expired(sent: bool) -> Self {
        let fault =
            Fault::backend(EXPIRED).detail("`expires_at` passed before the client acknowledged it");
        let fault = if sent { fault.effect_unknown() } else { fault };
        Self::of(Status::Expired, Some(fault))
    }

    /// The same, of a push that somebody may have got before if it was `sent`.
    pub(super) fn after(self, sent: bool) -> Self {
        match sent {
            true => self.after_it_was_sent(),
            false => self,
        }
    }

    /// The same, of a push that somebody may have got before: that it has not arrived now says less.
    fn after_it_was_sent(mut self) -> Self {
        if !matches!(self.status, Status::Delivered | Status::Sent) {
            self.reason = self.reason.map(Fault::effect_unknown);
        }
        self
    }

    /// Whether the user may have got it.
    pub(super) fn may_have_arrived(&self) -> bool {
        let reason = self.reason.as_ref();
        matches!(self.status, Status::Delivered | Status::Sent)
            || reason.is_some_and(|reason| reason.effect == Effect::Unknown)
    }

    /// Nothing is known yet, and nobody waits any longer.
    pub(super) fn unsettled() -> Self {
        let fault = Fault::gateway(UNSETTLED).effect_unknown().retryable();
        let detail = "not acknowledged so far; ask again with the same key";
        Self::of(Status::Expired, Some(fault.detail(detail)))
    }

    /// It cannot be known now whether the user has other links, for this reason.
    pub(super) fn whereabouts_unknown(why: &Fault) -> Self {
        let fault = Fault::gateway(WHEREABOUTS_UNKNOWN).retry_after(WHEREABOUTS_PAUSE);
        let why = match why.detail.is_empty() {
            true => &why.code,
            false => &why.detail,
        };
        let detail = format!("it cannot be known now where the user is connected: {why}");
        Self::rejected(fault.detail(detail))
    }

    /// As links of this node have ended it before.
    pub(super) fn had(status: Status) -> Self {
        Self::of(status, None)
    }

    /// Whether the user has it.
    pub(super) fn is_had(&self) -> bool {
        matches!(self.status, Status::Delivered | Status::Sent)
    }

    /// Whether it could not be known where the user is.
    pub(super) fn is_whereabouts_unknown(&self) -> bool {
        self.has_code(WHEREABOUTS_UNKNOWN)
    }

    /// Whether the user was not there at all, so that it was not sent.
    pub(super) fn was_absent(&self) -> bool {
        self.has_code(OFFLINE) && !self.may_have_arrived()
    }

    fn has_code(&self, code: &str) -> bool {
        let reason = self.reason.as_ref();
        reason.is_some_and(|reason| reason.code == code)
    }

    /// Nobody waits any longer, and it was never sent, as it was `refused` again and again.
    pub(super) fn not_sent(refused: Option<&Fault>) -> Self {
        let fault = Fault::gateway("push.not_sent").retryable();
        let why = refused.map_or("there was no room in time", |fault| &fault.code);
        Self::of(
            Status::Expired,
            Some(fault.detail(format!("it was not sent: {why}"))),
        )
    }

    /// It was not taken.
    pub(super) fn rejected(reason: Fault) -> Self {
        Self::of(Status::Rejected, Some(reason))
    }

    fn failed(fault: &Fault) -> Self {
        let status = match &*fault.code {
            EXPIRED | UNSETTLED | "push.unacknowledged" => Status::Expired,
            OFFLINE | "link.gone" | SILENT => Status::Offline,
            _ => Status::Rejected,
        };
        Self::of(status, Some(fault.clone()))
    }
}

/// How soon to ask again where a user is.
const WHEREABOUTS_PAUSE: Duration = Duration::from_secs(1);

/// Whether a link says that it is gone, so that another of the user may be tried. A push that may have arrived is
/// sent again only where the client tells copies apart by their key, which is where it acknowledges.
pub(super) fn has_left(outcome: &Outcome, ack: bool) -> bool {
    match outcome {
        Outcome::Accepted(_) => false,
        Outcome::Failed(fault) => is_gone(fault),
        Outcome::Unknown(fault) => ack && is_gone(fault),
    }
}

/// Whether a fault says that the link is gone.
pub(super) fn is_gone(fault: &Fault) -> bool {
    LEFT.contains(&&*fault.code)
}

/// Whether a way says that its user is not there, so that others may be looked for: as [`has_left`].
pub(super) fn is_offline(outcome: &Outcome, ack: bool) -> bool {
    match outcome {
        Outcome::Accepted(_) => false,
        Outcome::Failed(fault) => fault.code == OFFLINE,
        Outcome::Unknown(fault) => ack && fault.code == OFFLINE,
    }
}

/// Whether nothing is heard of the node to which a way leads.
pub(super) fn is_silent(fault: &Fault) -> bool {
    fault.code == SILENT
}

/// Whether the link itself may be tried again.
pub(super) fn is_retired(outcome: &Outcome) -> bool {
    outcome.fault().is_some_and(|fault| fault.code == RETIRED)
}

/// The receiver's outcome by what its links have said so far (`None`: nothing yet); `None` while it is open.
///
/// With `all`, every link has to have the push. Otherwise one is enough: the first that confirms it, or, where nobody
/// confirms, the first that has sent it. If none has it, the outcome that went furthest counts; that it had no effect is
/// said only if no link may have it.
pub(super) fn judge<'a>(
    said: impl Iterator<Item = Option<&'a Outcome>>,
    ack: bool,
    all: bool,
) -> Option<ReceiverOutcome> {
    let (mut open, mut confirmed, mut sent, mut unknown) = (0, 0, 0, 0);
    let mut failed = None;
    for outcome in said {
        match outcome {
            None => open += 1,
            Some(Outcome::Accepted(answer)) if answer.confirmed => confirmed += 1,
            Some(Outcome::Accepted(_)) => sent += 1,
            Some(outcome @ (Outcome::Failed(fault) | Outcome::Unknown(fault))) => {
                unknown += usize::from(matches!(outcome, Outcome::Unknown(_)));
                failed = furthest(failed, ReceiverOutcome::failed(fault));
            }
        }
    }
    let decided = !all && (confirmed > 0 || (sent > 0 && !ack));
    if open > 0 && !decided {
        return None;
    }
    Some(match failed {
        Some(failed) if all || confirmed + sent == 0 => match confirmed + sent + unknown {
            0 => failed,
            _ => failed.after_it_was_sent(),
        },
        _ if confirmed > 0 && (sent == 0 || !all) => ReceiverOutcome::of(Status::Delivered, None),
        _ if sent > 0 => ReceiverOutcome::of(Status::Sent, None),
        _ => ReceiverOutcome::offline(),
    })
}

fn furthest(one: Option<ReceiverOutcome>, other: ReceiverOutcome) -> Option<ReceiverOutcome> {
    let rank = |outcome: &ReceiverOutcome| match outcome.status {
        Status::Offline => 0,
        Status::Rejected => 1,
        _ => 2,
    };
    match one {
        Some(one) if rank(&one) >= rank(&other) => Some(one),
        _ => Some(other),
    }
}

#[cfg(test)]
mod tests;
