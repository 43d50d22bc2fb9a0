//! What becomes of a push from a topic: sent to its receivers, held until they have it, reported, or parked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use linkgate_filter::Fault;
use linkgate_filter::broker::{Arrival, Broker, Record};

use super::Businesses;
use super::landed::Landed;
use super::ledger::{Hold, Ledger, Place, Receiver, Stage};
use super::record::{self, History, Taken};
use crate::outbox::{Letter, Writer};
use crate::push::config::OnExpired;
use crate::push::message::Push;
use crate::push::outcome::{ReceiverOutcome, Status};
use crate::push::report::{Course, Reporter};
use crate::push::router::Router;
use crate::telemetry::limit::Every;

pub(super) struct Settings {
    /// The topic of parked pushes; `None`: nothing is parked.
    pub(super) park: Option<Arc<str>>,
    pub(super) dead_letter: Arc<str>,
    pub(super) min_hold: Duration,
    pub(super) max_hold: Duration,
    pub(super) retry_after: Duration,
    pub(super) give_up_after: Duration,
    pub(super) offline_after: Duration,
    pub(super) on_expired: OnExpired,
}

/// Something that was waited for.
pub(super) enum Done {
    /// A link has said what became of a push.
    Landed(Box<Landing>),
    /// All is written that is to be said of a record.
    Written(Place),
}

pub(super) struct Landing {
    place: Place,
    index: usize,
    user: String,
    push: Push,
    outcome: ReceiverOutcome,
}

pub(super) struct Desk {
    pub(super) settings: Settings,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) writer: Writer,
    pub(super) router: Router,
    pub(super) businesses: Businesses,
    pub(super) reporter: Option<Reporter>,
    pub(super) ledger: Ledger,
    pub(super) landed: Landed,
    /// Users who were not there or had no room, and until when nothing is sent to them, so that what comes later stays
    /// behind.
    pub(super) lines: HashMap<(Arc<str>, String), Instant>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Of what goes to the dead letters.
    pub(super) dead_lines: Every,
    /// When the node began to read.
    pub(super) ready: Instant,
    /// The number of the latest attempt; see [`Desk::attempt`].
    pub(super) attempt: u64,
    /// The node stops: a user who is gone is to be found by another node.
    pub(super) leaving: bool,
}

impl Desk {
    /// How long a user is let alone who is not there, or has no room.
    const PAUSE: Duration = Duration::from_millis(200);

    fn now(&self) -> Instant {
        self.router.clock().now()
    }

    /// A record has come.
    pub(super) fn take(&mut self, arrival: &Arrival) {
        self.router.metrics().taken();
        let is_parked = self.settings.park.as_deref() == Some(&*arrival.partition.topic);
        let read = Taken::read(arrival, is_parked, self.router.clock().wall());
        match read.and_then(|taken| self.check(taken)) {
            Ok(mut taken) => {
                taken.history.attempt = self.attempt(taken.history.attempt);
                self.begin(arrival, taken);
            }
            Err(fault) => self.bury(arrival, &fault),
        }
    }

    /// A number for an attempt, greater than that of the one `before`, and than any that this task has given. Another process
    /// that takes the same push up without knowing of this one, after a crash, has the time alone to tell which is later.
    fn attempt(&mut self, before: u64) -> u64 {
        let wall = self.router.clock().wall();
        let since = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let least = self.attempt.max(before).saturating_add(1);
        self.attempt = least.max(micros);
        self.attempt
    }

    fn check(&self, taken: Taken) -> Result<Taken, Fault> {
        if (self.businesses)(&taken.push.biz_id) {
            return Ok(taken);
        }
        let fault = Fault::backend("push.unknown_biz");
        Err(fault.detail("no pipeline serves this `biz_id`"))
    }

    fn begin(&mut self, arrival: &Arrival, taken: Taken) {
        let now = self.now();
        let since = now + taken.history.rest.min(self.settings.give_up_after);
        let sent = taken.history.sent;
        let open = |user: String| Receiver {
            user,
            stage: Stage::Open,
            sent,
        };
        let hold = Hold {
            push: taken.push,
            receivers: taken.receivers.into_iter().map(open).collect(),
            history: taken.history,
            taken: now,
            since,
            rests: false,
        };
        let (partition, offset) = (&arrival.partition, arrival.offset);
        let Some(place) = self.ledger.take(partition, offset, Some(hold)) else {
            return;
        };
        self.go_on(place);
    }

    /// Sends a push, or lets it rest, if its time has not come.
    pub(super) fn go_on(&mut self, place: Place) {
        self.ledger.go_on(place);
        let Some(hold) = self.ledger.hold(place) else {
            return;
        };
        let since = hold.since;
        if since > self.now() {
            self.ledger.look_at(place, Some(since));
        } else {
            self.send(place);
        }
    }

    /// Puts a record that is no push where its reason can be read.
    fn bury(&mut self, arrival: &Arrival, fault: &Fault) {
        let (partition, offset) = (&arrival.partition, arrival.offset);
        let Some(place) = self.ledger.take(partition, offset, None) else {
            return;
        };
        self.router.metrics().refused(&fault.code);
        let record = record::poison(&self.settings.dead_letter, arrival);
        let letter = self.dead_letter(record::with_reason(record, fault));
        self.write(place, vec![letter]);
    }

    fn dead_letter(&self, record: Record) -> Letter {
        self.router.metrics().dead();
        self.put_aside(record)
    }

    fn put_aside(&self, record: Record) -> Letter {
        if let Some(held_back) = self.dead_lines.pass() {
            let (from, code) = record::origin(&record);
            let to = &record.topic;
            tracing::warn!(
                from,
                code,
                to,
                held_back,
                "a record goes to the dead letters"
            );
        }
        let reason = record::reason_alone(&record);
        let instead = vec![Letter::record(&self.broker, reason)];
        Letter::record(&self.broker, record).or(instead)
    }

    fn write(&mut self, place: Place, letters: Vec<Letter>) {
        let writing = self.writer.clone().write(letters);
        self.work.push(Box::pin(async move {
            writing.await;
            Done::Written(place)
        }));
    }

    /// Sends to the receivers that have not been sent to yet.
    fn send(&mut self, place: Place) {
        let now = self.now();
        let Some(hold) = self.ledger.hold(place) else {
            return;
        };
        let is_early = self.settings.is_early(hold.waited(now), self.ready, now);
        let mut again = None;
        // The bytes of a push count from its first transmission to its last.
        let mut sending = None;
        for (index, receiver) in hold.receivers.iter_mut().enumerate() {
            let Receiver { user, stage, .. } = receiver;
            if *stage != Stage::Open {
                continue;
            }
            if let Some(outcome) = self.landed.find(&hold.push, user) {
                *stage = Stage::Ended(outcome.clone());
                continue;
            }
            let line = (Arc::clone(&hold.push.biz_id), user.clone());
            // A line ends in `wake` alone, for all who wait in it: else a push that comes when its time is over, and the
            // timer late, would pass them.
            let until = self.lines.get(&line).copied();
            let pending = match until {
                Some(_) => None,
                None => {
                    let admit = || self.router.admit(hold.push.clone()).ok();
                    let sending = sending.get_or_insert_with(admit).as_ref();
                    sending.map(|sending| sending.to(user))
                }
            };
            match pending {
                Some(pending) if !pending.known().is_some_and(&is_early) => {
                    *stage = Stage::Sent;
                    let (user, push) = (user.clone(), hold.push.clone());
                    self.work.push(Box::pin(async move {
                        let outcome = pending.outcome(None).await;
                        Done::Landed(Box::new(Landing {
                            place,
                            index,
                            user,
                            push,
                            outcome,
                        }))
                    }));
                }
                _ => {
                    let until = until.unwrap_or(now + Self::PAUSE);
                    self.lines.insert(line, until);
                    again = Some(again.map_or(until, |again: Instant| again.min(until)));
                }
            }
        }
        let settled = !hold.any(|stage| !matches!(stage, Stage::Ended(_)));
        let park_at = hold.since + self.settings.max_hold;
        if settled {
            self.settle(place);
        } else {
            let at = again.map_or(park_at, |again| again.min(park_at));
            self.ledger.look_at(place, Some(at));
        }
    }

    /// A link has said what became of a push.
    pub(super) fn landed(&mut self, landing: Landing) {
        let Landing {
            place,
            index,
            user,
            push,
            outcome,
        } = landing;
        let Some(hold) = self.ledger.hold(place) else {
            self.landed.note(&push, user, outcome);
            return;
        };
        let now = self.router.clock().now();
        let is_early = self.settings.is_early(hold.waited(now), self.ready, now);
        let rests = hold.rests;
        let receiver = &mut hold.receivers[index];
        let outcome = match receiver.sent {
            true => outcome.after_it_was_sent(),
            false => outcome,
        };
        receiver.sent |= outcome.may_have_arrived();
        if rests {
            // Until the record is read again, if it is; or what another node has parked of it comes.
            self.landed.note(&push, user, outcome.clone());
            receiver.stage = match is_early(&outcome) {
                true => Stage::Open,
                false => Stage::Ended(outcome),
            };
        } else if self.leaving && !matches!(outcome.status, Status::Delivered | Status::Sent) {
            receiver.stage = Stage::Open;
            if !hold.any(|stage| *stage == Stage::Sent) {
                self.hand_on(place);
            }
        } else if is_early(&outcome) {
            receiver.stage = Stage::Open;
            let until = now + Self::PAUSE;
            self.lines.insert((push.biz_id, user), until);
            self.ledger.look_at(place, Some(until));
        } else {
            receiver.stage = Stage::Ended(outcome);
            if !hold.any(|stage| !matches!(stage, Stage::Ended(_))) {
                self.settle(place);
            }
        }
    }

    /// The time of some pushes has come.
    pub(super) fn wake(&mut self) {
        let now = self.now();
        self.lines.retain(|_, until| *until > now);
        for place in self.ledger.due(now) {
            let Some(hold) = self.ledger.hold(place) else {
                continue;
            };
            if hold.since + self.settings.max_hold <= now {
                self.settle(place);
            } else {
                self.send(place);
            }
        }
    }

    /// Ends the holding of a push: reports what is known of it, and parks it for the receivers of whom nothing is known, to
    /// rest for a while.
    pub(super) fn settle(&mut self, place: Place) {
        self.close(place, self.settings.retry_after);
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
        let age = hold.age(now);
        // Whoever has a push under way was here, and has time to come back.
        let is_absent = !rest.is_zero() && !hold.any(|stage| *stage == Stage::Sent);
        let waited = match is_absent {
            true => hold.waited(now),
            false => Duration::ZERO,
        };
        let over = age >= self.settings.give_up_after || self.has_expired(&hold.push);
        let (mut ended, mut left, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        let mut history = hold.history;
        for Receiver { user, stage, sent } in hold.receivers {
            match (stage, self.settings.on_expired) {
                (Stage::Ended(outcome), OnExpired::Park)
                    if outcome.status == Status::Expired && !over =>
                {
                    history.sent |= sent;
                    left.push(user);
                }
                (Stage::Ended(outcome), policy) => {
                    if outcome.status == Status::Expired && policy == OnExpired::DeadLetter {
                        dead.push(user.clone());
                    }
                    ended.push((user, outcome));
                }
                (Stage::Sent | Stage::Open, _) if over || self.settings.park.is_none() => {
                    ended.push((user, ReceiverOutcome::unsettled()));
                }
                (stage @ (Stage::Sent | Stage::Open), _) => {
                    history.sent |= sent || stage == Stage::Sent;
                    self.router.park(&hold.push, &user);
                    left.push(user);
                }
            }
        }
        let mut letters = self.reports(&hold.push, &history, ended);
        if !dead.is_empty() {
            let record = record::push(&self.settings.dead_letter, &hold.push, dead, &history);
            let reason = Fault::backend("push.expired");
            letters.push(self.dead_letter(record::with_reason(record, &reason)));
        }
        if !left.is_empty() {
            history.age = age;
            history.waited = waited;
            history.rest = rest;
            letters.extend(self.parked(&hold.push, &history, left));
        }
        self.write(place, letters);
    }

    /// `expires_at` is a time of day that the backend has given: the one time of another machine that counts.
    fn has_expired(&self, push: &Push) -> bool {
        let wall = self.router.clock().wall();
        push.expires_at.is_some_and(|at| at <= wall)
    }

    fn parked(&self, push: &Push, history: &History, left: Vec<String>) -> Option<Letter> {
        let park = self.settings.park.as_deref()?;
        self.router.metrics().parked();
        let fault = Fault::gateway("push.park_refused");
        let fault = fault.detail("the broker does not take the push to park it");
        let fault = match history.sent {
            true => fault.effect_unknown(),
            false => fault,
        };
        // Should the broker never take it, the receivers are not left without a word.
        let instead = match &self.reporter {
            Some(_) => {
                let rejected = |user: &String| {
                    let outcome = ReceiverOutcome::rejected(fault.clone());
                    (user.clone(), outcome)
                };
                self.reports(push, history, left.iter().map(rejected).collect())
            }
            None => {
                let dead = &self.settings.dead_letter;
                let record = record::push(dead, push, left.clone(), history);
                vec![self.put_aside(record::with_reason(record, &fault))]
            }
        };
        let history = History {
            parked: history.parked + 1,
            ..history.clone()
        };
        let record = record::push(park, push, left, &history);
        Some(Letter::record(&self.broker, record).or(instead))
    }

    fn reports(
        &self,
        push: &Push,
        history: &History,
        ended: Vec<(String, ReceiverOutcome)>,
    ) -> Vec<Letter> {
        let Some(reporter) = &self.reporter else {
            return Vec::new();
        };
        let course = Course {
            id: &history.id,
            attempts: history.parked + 1,
            attempt: history.attempt,
            received_at: history.first,
            settled_at: self.router.clock().wall(),
        };
        // Of a user who is not here a node that is one of many readers knows nothing.
        let is_known = |(_, outcome): &(String, ReceiverOutcome)| {
            self.settings.park.is_some() || outcome.status != Status::Offline
        };
        let ended = ended.into_iter().filter(is_known);
        let letter = |(user, outcome): (String, ReceiverOutcome)| {
            reporter.letter(push, &user, &outcome, &course)
        };
        let letters: Vec<_> = ended.map(letter).collect();
        self.router.metrics().reported(letters.len());
        letters
    }
}

impl Settings {
    /// Tells which outcomes say that a push came too early: there was no room, or the user was not there yet.
    /// A user who is not connected has `offline_after` to come, and as long after a start in any case: while the node was
    /// down, nobody could.
    fn is_early(
        &self,
        waited: Duration,
        ready: Instant,
        now: Instant,
    ) -> impl Fn(&ReceiverOutcome) -> bool + use<> {
        let may_come = waited < self.offline_after || now < ready + self.offline_after;
        let may_come = self.park.is_some() && may_come;
        move |outcome| match outcome.status {
            Status::Offline => may_come,
            Status::Rejected => {
                let mut reason = outcome.reason.iter();
                reason.any(|fault| fault.retry_after.is_some())
            }
            _ => false,
        }
    }
}
