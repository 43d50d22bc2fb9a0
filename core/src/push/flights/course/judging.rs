//! What has become of a push, as far as a course knows: for this node's links, and for all.

use linkgate_filter::{Fault, Outcome};

use super::{About, Course, Over, Reach, Sent, left};
use crate::push::message::Push;
use crate::push::outcome::{ReceiverOutcome, Status, is_gone, is_silent, judge};
use crate::push::receivers::{Need, Verdict, WayId};

/// What has become of a push for whoever wants to know of all links.
pub(super) enum Judged {
    Open,
    /// So much is to be looked for elsewhere.
    Lacks(Need),
    Ended(ReceiverOutcome),
}

impl Course {
    fn said_here(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.is_here())
    }

    /// The outcome for whoever asks for this node's links alone.
    pub(in crate::push::flights) fn judge_here(&self, push: &Push) -> Option<ReceiverOutcome> {
        let counting = self.said_here().filter(|sent| !sent.moved);
        let had = self.had.iter().map(Some);
        let said = counting.map(|sent| sent.outcome.as_ref()).chain(had);
        let outcome = judge(said, push.ack, push.all)?;
        Some(outcome.after(was_sent_before(self.said_here())))
    }

    pub(super) fn judge_everywhere(&self, push: &Push) -> Judged {
        let Some(beyond) = &self.beyond else {
            return Judged::Open;
        };
        let counting = || self.sent.iter().filter(|sent| !sent.moved);
        let stands = |sent: &Sent| !left(sent, push.ack, true);
        let is_found = push.device_id.is_some() && (self.had.is_some() || counting().any(stands));
        let verdict = match beyond.need {
            Some(_) => beyond.verdict.as_ref(),
            None if is_found => Some(&Verdict::Enough),
            None if matches!(beyond.verdict, Some(Verdict::Unknown(_))) => beyond.verdict.as_ref(),
            None => None,
        };
        // A way that has left without a word has sent what nobody confirms.
        let sent = Outcome::sent();
        let said = counting().map(|own| match &own.outcome {
            Some(Outcome::Unknown(fault)) if !push.ack && is_gone(fault) => Some(&sent),
            outcome => outcome.as_ref(),
        });
        let had = self.had.iter().map(Some);
        let search = verdict.is_none().then_some(None);
        let Some(outcome) = judge(said.chain(had).chain(search), push.ack, push.all) else {
            return match (beyond.need, verdict) {
                (None, None) => Judged::Lacks(self.need(push, counting().any(stands))),
                _ => Judged::Open,
            };
        };
        let outcome = outcome.after(was_sent_before(self.sent.iter()));
        let needs_all = match outcome.status {
            Status::Delivered => push.all,
            Status::Sent | Status::Offline => true,
            Status::Rejected | Status::Expired => !counting().any(stands) && self.had.is_none(),
        };
        if !needs_all || is_found {
            return Judged::Ended(outcome);
        }
        match verdict {
            Some(Verdict::Certain) => match self.silent(&beyond.found) {
                Some(fault) if outcome.status == Status::Offline => {
                    Judged::Ended(self.unknown(fault))
                }
                _ => Judged::Ended(outcome),
            },
            None if beyond.need.is_none() => Judged::Lacks(self.need(push, counting().any(stands))),
            None => Judged::Open,
            Some(Verdict::Enough) if beyond.need != Some(Need::Certain) => {
                Judged::Lacks(Need::Certain)
            }
            Some(Verdict::Enough) => Judged::Ended(self.unknown(&nobody_says())),
            Some(Verdict::Unknown(fault)) => Judged::Ended(self.unknown(fault)),
        }
    }

    /// Why a way has failed whose node was not heard, though it was found to have links of the user after that.
    fn silent(&self, found: &[WayId]) -> Option<&Fault> {
        let sent = self.sent.iter().filter(|sent| found.contains(&sent.way));
        let mut faults = sent.filter_map(|sent| sent.outcome.as_ref()?.fault());
        faults.find(|fault| is_silent(fault))
    }

    /// What has to be known beyond this node.
    fn need(&self, push: &Push, is_found: bool) -> Need {
        match push.device_id {
            None if push.all || !push.ack => Need::Certain,
            None if is_found || self.had.is_some() => Need::Found,
            _ => Need::CertainIfNone,
        }
    }

    /// It cannot be known who else has to get it.
    fn unknown(&self, why: &Fault) -> ReceiverOutcome {
        ReceiverOutcome::whereabouts_unknown(why).after(self.was_sent())
    }

    fn was_sent(&self) -> bool {
        self.had.is_some() || self.sent.iter().any(Sent::may_have_it)
    }

    /// The outcome when some ways have said nothing.
    pub(super) fn overdue(&self, about: About<'_>, over: Over, reach: Reach) -> ReceiverOutcome {
        let push = about.push;
        let expires = about.expires_at == Some(about.until);
        if reach == Reach::Everywhere && !self.was_sent() {
            return match expires && matches!(over, Over::Late) {
                true => ReceiverOutcome::expired(false),
                false => ReceiverOutcome::whereabouts_unknown(&nobody_says()),
            };
        }
        if matches!(over, Over::GivenUp) {
            return ReceiverOutcome::unsettled();
        }
        let counts = |sent: &&Sent| {
            !sent.moved && sent.outcome.is_some() && (reach == Reach::Everywhere || sent.is_here())
        };
        let said = self.sent.iter().filter(counts);
        let said = said.map(|sent| sent.outcome.as_ref());
        let had = self.had.iter().map(Some);
        let is_enough = |said: &ReceiverOutcome| {
            said.status == Status::Delivered || (reach == Reach::Here && said.reason.is_none())
        };
        match judge(said.chain(had), push.ack, push.all) {
            Some(said) if is_enough(&said) && !push.all => said,
            _ if expires => ReceiverOutcome::expired(true),
            _ => ReceiverOutcome::unsettled(),
        }
    }
}

/// A way that is gone may have led to the receiver before.
fn was_sent_before<'a>(mut sent: impl Iterator<Item = &'a Sent>) -> bool {
    sent.any(|sent| sent.moved && matches!(sent.outcome, Some(Outcome::Unknown(_))))
}

fn nobody_says() -> Fault {
    Fault::gateway("push.no_answer").detail("nobody has answered in time")
}
