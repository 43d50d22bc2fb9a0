//! The end of a hold: who is reported, who is parked, who goes to the dead letters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_filter::Fault;

use super::desk::Desk;
use super::ledger::{Hold, Place, Receiver, Stage};
use crate::push::config::OnExpired;
use crate::push::message::Push;
use crate::push::outcome::{ReceiverOutcome, Status};

/// Why nothing more is tried.
#[derive(Clone, Copy)]
enum End {
    /// `expires_at` has passed.
    Expired,
    /// It is older than `give_up_after`.
    GivenUp,
}

/// How long those who are to be sent to have waited, the one who did so least. Whoever has it under way was here.
fn shortest_wait(receivers: &[Receiver], now: Instant) -> Duration {
    let waits = receivers.iter().filter_map(|own| match own.stage {
        Stage::Ended(_) => None,
        Stage::Sent => Some(Duration::ZERO),
        Stage::Open => Some(own.waited(now)),
    });
    waits.min().unwrap_or_default()
}

/// The receivers of a push, by what is to be done about them.
#[derive(Default)]
struct Ends {
    /// To be reported.
    ended: Vec<(String, ReceiverOutcome)>,
    /// To be written to the dead letters as well.
    dead: Vec<String>,
    /// To be parked: they did not acknowledge it in time.
    expired: Vec<String>,
    /// To be parked: nothing is known of them.
    unsettled: Vec<String>,
    /// It was sent to some who are to be parked.
    sent: bool,
}

impl Desk {
    /// Ends the holding of a push: reports what is known of it, and parks it for the receivers of whom nothing is known, to
    /// rest for a while.
    pub(super) fn settle(&mut self, place: Place) {
        self.close(place, self.patience.retry_after);
    }

    /// As [`Desk::settle`], for another node to take up what is left at once. Users have time to come there.
    pub(super) fn hand_on(&mut self, place: Place) {
        self.close(place, Duration::ZERO);
    }

    fn close(&mut self, place: Place, rest: Duration) {
        let Some(hold) = self.ledger.write_off(place) else {
            return;
        };
        let now = self.now();
        self.leave_lines(place, &hold, now);
        let age = hold.age(now);
        let waited = match rest.is_zero() {
            true => Duration::ZERO,
            false => shortest_wait(&hold.receivers, now),
        };
        let end = match self.has_expired(&hold.push) {
            true => Some(End::Expired),
            false => (age >= self.patience.give_up_after).then_some(End::GivenUp),
        };
        let ends = self.ends(hold.receivers, end, hold.refused.as_deref());
        let (push, mut history) = (&hold.push, hold.history);
        for user in &ends.unsettled {
            self.router.park(push, user);
        }
        history.sent |= ends.sent;
        let mut letters = self.letters.reports(push, &history, ends.ended);
        if !ends.dead.is_empty() {
            letters.push(self.letters.expired(push, ends.dead, &history));
        }
        let left = [ends.expired, ends.unsettled].concat();
        if !left.is_empty() {
            history.age = age;
            history.waited = waited;
            history.rest = rest;
            letters.extend(self.letters.parked(hold.push, history, left));
        }
        self.write(place, letters);
    }

    fn leave_lines(&mut self, place: Place, hold: &Hold, now: Instant) {
        let receivers = hold.receivers.iter().enumerate();
        for (index, receiver) in receivers.filter(|(_, receiver)| receiver.stage == Stage::Open) {
            let user = (Arc::clone(&hold.push.biz_id), receiver.user.as_str().into());
            self.lines.leave(&user, (place, index), now);
        }
    }

    /// What is to be done about each receiver of a push that is held no longer.
    fn ends(&self, receivers: Vec<Receiver>, end: Option<End>, refused: Option<&Fault>) -> Ends {
        let mut ends = Ends::default();
        let parks = self.parks() && end.is_none();
        let is_dead = self.patience.on_expired == OnExpired::DeadLetter;
        for Receiver {
            user, stage, sent, ..
        } in receivers
        {
            match stage {
                Stage::Ended(outcome)
                    if parks
                        && outcome.status == Status::Expired
                        && self.patience.on_expired == OnExpired::Park =>
                {
                    ends.sent |= sent;
                    ends.expired.push(user);
                }
                Stage::Ended(outcome) => {
                    let is_dead = is_dead && outcome.status == Status::Expired;
                    ends.dead.extend(is_dead.then(|| user.clone()));
                    ends.ended.push((user, outcome));
                }
                stage if parks => {
                    ends.sent |= sent || stage == Stage::Sent;
                    ends.unsettled.push(user);
                }
                stage => {
                    let outcome = match (end, sent || stage == Stage::Sent) {
                        (Some(End::Expired), sent) => ReceiverOutcome::expired(sent),
                        (_, true) => ReceiverOutcome::unsettled(),
                        (_, false) => ReceiverOutcome::not_sent(refused),
                    };
                    ends.dead.extend(is_dead.then(|| user.clone()));
                    ends.ended.push((user, outcome));
                }
            }
        }
        ends
    }

    /// `expires_at` is a time of day that the backend has given: the one time of another machine that counts.
    fn has_expired(&self, push: &Push) -> bool {
        let wall = self.router.clock().wall();
        push.expires_at.is_some_and(|at| at <= wall)
    }
}
