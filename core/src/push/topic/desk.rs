//! What becomes of a push from a topic: sent to its receivers, held until they have it, reported, or parked.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use linkgate_filter::Fault;
use linkgate_filter::broker::{Arrival, Partition};

use super::landed::Landed;
use super::ledger::{Hold, Ledger, Place, Receiver, Stage};
use super::letters::Letters;
use super::lines::{Behind, Lines, Waiting};
use super::patience::{PAUSE, Patience, Wait};
use super::record::Taken;
use super::under_way::UnderWay;
use crate::link::User;
use crate::outbox::{Letter, Writer};
use crate::push::flights::Weighed;
use crate::push::outcome::{ReceiverOutcome, Status};
use crate::push::router::Router;

/// All is written that is to be said of the record at this place.
pub(super) struct Written(pub(super) Place);

pub(super) struct Desk {
    pub(super) patience: Patience,
    pub(super) letters: Arc<Letters>,
    pub(super) writer: Writer,
    pub(super) router: Router,
    pub(super) ledger: Ledger,
    pub(super) landed: Landed,
    /// Pushes whose users were not there or had no room; what comes later stays behind.
    pub(super) lines: Lines,
    pub(super) under_way: UnderWay,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Written>>,
    /// When the node began to read.
    pub(super) ready: Instant,
    /// The number of the latest attempt; see [`Desk::attempt`].
    pub(super) attempt: u64,
    /// The node stops: a user who is gone is to be found by another node.
    pub(super) leaving: bool,
}

impl Desk {
    pub(super) fn now(&self) -> Instant {
        self.router.clock().now()
    }

    /// A record has come.
    pub(super) fn take(&mut self, arrival: &Arrival) {
        self.router.metrics().taken();
        let is_parked = self.letters.park.as_deref() == Some(&*arrival.partition.topic);
        let read = Taken::read(arrival, is_parked, self.router.clock().wall());
        match read.and_then(|taken| self.known(taken)) {
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

    fn known(&self, taken: Taken) -> Result<Taken, Fault> {
        match self.router.check(&taken.push.biz_id) {
            Err(fault) if fault.retry_after.is_none() => Err(fault),
            _ => Ok(taken),
        }
    }

    fn begin(&mut self, arrival: &Arrival, taken: Taken) {
        let now = self.now();
        let since = now + taken.history.rest.min(self.patience.give_up_after);
        let sent = taken.history.sent;
        let waited = taken.history.waited;
        let open = |user: String| Receiver::new(user, sent, (since, waited));
        let hold = Hold {
            push: taken.push,
            receivers: taken.receivers.into_iter().map(open).collect(),
            history: taken.history,
            taken: now,
            since,
            rests: None,
            refused: None,
        };
        let (partition, offset) = (&arrival.partition, arrival.offset);
        let Some(place) = self.ledger.take(partition, offset, Some(hold)) else {
            return;
        };
        self.go_on(place);
    }

    /// Whether what is unsettled can be parked.
    pub(super) fn parks(&self) -> bool {
        self.letters.park.is_some()
    }

    /// A partition is this node's from now on.
    pub(super) fn assign(&mut self, partition: Partition) {
        let now = self.now();
        if let Some(known) = self.ledger.assignment(&partition) {
            self.lines.forget(known, now);
        }
        self.ledger.assign(partition, now);
    }

    /// A partition is not this node's any more. What is known of it rests, and waits for nobody.
    pub(super) fn part_with(&mut self, assignment: u64, now: Instant) {
        self.lines.forget(assignment, now);
        self.ledger.leave(assignment, now);
    }

    /// Sends a push, or lets it rest, if its time has not come.
    pub(super) fn go_on(&mut self, place: Place) {
        self.ledger.go_on(place, self.now());
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
        let letter = self.letters.poison(arrival, fault);
        self.write(place, vec![letter]);
    }

    pub(super) fn write(&mut self, place: Place, letters: Vec<Letter>) {
        let writing = self.writer.clone().write(letters);
        self.work.push(Box::pin(async move {
            writing.await;
            Written(place)
        }));
    }

    /// Sends to the receivers that have not been sent to yet.
    fn send(&mut self, place: Place) {
        let Some(hold) = self.ledger.hold(place) else {
            return;
        };
        let park_at = hold.since + self.patience.max_hold;
        let (biz_id, device) = (Arc::clone(&hold.push.biz_id), hold.push.device_id.clone());
        let receivers = hold.receivers.iter().enumerate();
        let open = receivers.filter(|(_, receiver)| receiver.stage == Stage::Open);
        let open: Vec<(usize, Arc<str>)> = open
            .map(|(index, receiver)| (index, receiver.user.as_str().into()))
            .collect();
        // The bytes of a push count from its first transmission to its last.
        let mut sending = None;
        for (index, user) in open {
            let (user, waiting) = ((Arc::clone(&biz_id), user), (place, index));
            if self.recall(&user, waiting) || self.lines.join(&user, waiting, &device) {
                continue;
            }
            if let Some(wait) = self.send_to(&user, waiting, &mut sending) {
                self.wait(&user, waiting, wait);
            }
        }
        self.ledger.look_at(place, Some(park_at));
        self.settle_if_ended(place);
    }

    /// Ends what has arrived while it was parked.
    fn recall(&mut self, (_, user): &User, (place, index): Waiting) -> bool {
        let Some(hold) = self.ledger.hold(place) else {
            return false;
        };
        if hold.history.parked == 0 {
            return false;
        }
        let name = (Arc::clone(&hold.history.id), Arc::clone(user));
        let Some(outcome) = self.landed.take(&name) else {
            return false;
        };
        hold.receivers[index].stage = Stage::Ended(outcome);
        true
    }

    /// Sends to one receiver. If that is too early, says what to wait for.
    fn send_to(
        &mut self,
        user: &User,
        waiting: Waiting,
        sending: &mut Option<Arc<Weighed>>,
    ) -> Option<Wait> {
        let (now, seen) = (self.now(), self.lines.seen(user));
        let hold = self.ledger.hold(waiting.0)?;
        let receiver = &mut hold.receivers[waiting.1];
        if let Some(seen) = seen {
            receiver.was_seen(seen);
        }
        let sending = match sending {
            Some(sending) => sending,
            None => match self.router.admit(hold.push.clone()) {
                Ok(admitted) => sending.insert(admitted),
                Err(fault) => return Self::refused(fault, hold, waiting.1),
            },
        };
        let name = (Arc::clone(&hold.history.id), Arc::clone(&user.1));
        let (number, ear) = self.under_way.begin(waiting, name);
        let Some(outcome) = self.router.send(sending, user, ear) else {
            receiver.stage = Stage::Sent;
            return None;
        };
        self.under_way.forget(number);
        if outcome.is_whereabouts_unknown() || outcome.was_absent() {
            receiver.was_looked_for(&outcome, now);
        }
        let until = self.patience.offline_at(receiver, self.ready);
        if let Some(wait) = self.patience.early(&outcome, until, now) {
            hold.refused = outcome.reason.map(Box::new);
            return Some(wait);
        }
        self.router.metrics().ended(outcome.status);
        receiver.stage = Stage::Ended(outcome.after(receiver.sent));
        None
    }

    /// The push is not taken in. Waits, if that may change.
    fn refused(fault: Fault, hold: &mut Hold, index: usize) -> Option<Wait> {
        let wait = fault.retry_after.map(|after| after.max(PAUSE));
        if wait.is_some() {
            hold.refused = Some(Box::new(fault));
        } else {
            let receiver = &mut hold.receivers[index];
            let outcome = ReceiverOutcome::rejected(fault);
            receiver.stage = Stage::Ended(outcome.after(receiver.sent));
        }
        wait.map(Wait::Room)
    }

    /// Has a push wait in the user's line. Gives when it is tried again.
    fn wait(&mut self, user: &User, waiting: Waiting, wait: Wait) -> Option<Instant> {
        let now = self.now();
        let is_here = matches!(wait, Wait::Room(_));
        if matches!(wait, Wait::User(_)) {
            self.lines.wait_for(user);
        }
        let hold = self.ledger.hold(waiting.0)?;
        let device = hold.push.device_id.clone();
        let at = match wait {
            Wait::Room(pause) => {
                hold.receivers[waiting.1].seen(now);
                now + pause
            }
            Wait::Word(pause) => now + pause,
            // Of one who came here just before nothing is told; and a link that is about to go may still be found. Who looks
            // at other nodes looks once more for one who is waited for.
            Wait::User(_) if self.router.has_way(&hold.push, user) => now + PAUSE,
            Wait::User(until) => until,
        };
        self.lines.wait(user, waiting, device, at);
        if is_here {
            self.lines.saw(user, now);
        }
        Some(at)
    }

    /// Sends what waits for a user and may go now, after `has_come` all that does not stay behind what is too early still.
    pub(super) fn send_line(&mut self, user: &User, has_come: bool) {
        let now = self.now();
        let (mut behind, mut last, mut again) = (Behind::default(), None, None);
        while let Some((waiting, device, at)) = self.lines.after(user, last) {
            last = Some(waiting);
            if behind.holds_all() {
                break;
            }
            if behind.holds(&device) {
                behind.add(device);
                continue;
            }
            let later = match at.filter(|at| !has_come && *at > now) {
                Some(at) => Some(at),
                None if self.recall(user, waiting) => None,
                None => self
                    .send_to(user, waiting, &mut None)
                    .and_then(|wait| self.wait(user, waiting, wait)),
            };
            if let Some(at) = later {
                behind.add(device);
                again = Some(again.map_or(at, |again: Instant| again.min(at)));
            } else {
                self.lines.remove(user, waiting);
                self.settle_if_ended(waiting.0);
            }
        }
        if let Some(again) = again {
            self.lines.go_on_at(user, again);
        }
    }

    fn settle_if_ended(&mut self, place: Place) {
        let is_open = |stage: &Stage| !matches!(stage, Stage::Ended(_));
        if self
            .ledger
            .hold(place)
            .is_some_and(|hold| !hold.any(is_open))
        {
            self.settle(place);
        }
    }

    /// Links have said what became of a push, or nobody was found.
    pub(super) fn landed(&mut self, number: u64, outcome: ReceiverOutcome) {
        let Some((waiting, name)) = self.under_way.forget(number) else {
            return;
        };
        let (place, index) = waiting;
        let now = self.now();
        let Some(hold) = self.ledger.hold(place) else {
            self.landed.note(name, outcome);
            return;
        };
        let (leaving, rests) = (self.leaving, hold.rests.is_some());
        let receiver = &mut hold.receivers[index];
        let was_here = receiver.was_looked_for(&outcome, now);
        let outcome = outcome.after(receiver.sent);
        receiver.sent |= outcome.may_have_arrived();
        let until = self.patience.offline_at(receiver, self.ready);
        let early = self.patience.early(&outcome, until, now);
        if rests {
            // Until the record is read again, if it is; or what another node has parked of it comes.
            self.landed.note(name, outcome.clone());
            receiver.stage = match outcome.is_had() || outcome.status == Status::Expired {
                true => Stage::Ended(outcome),
                false => Stage::Open,
            };
        } else if leaving && !outcome.is_had() {
            receiver.stage = Stage::Open;
            if !hold.any(|stage| *stage == Stage::Sent) {
                self.hand_on(place);
            }
        } else if let Some(wait) = early {
            receiver.stage = Stage::Open;
            if matches!(wait, Wait::Word(_)) {
                hold.refused = outcome.reason.map(Box::new);
            }
            let user = (Arc::clone(&hold.push.biz_id), name.1);
            self.wait(&user, waiting, wait);
            if was_here {
                self.lines.saw(&user, now);
            }
        } else {
            receiver.stage = Stage::Ended(outcome);
            self.settle_if_ended(place);
        }
    }

    /// When something is to be done next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let timers = [self.ledger.next_timer(), self.lines.next_timer()];
        timers.into_iter().flatten().min()
    }

    /// The time of some pushes has come.
    pub(super) fn wake(&mut self) {
        let now = self.now();
        for user in self.lines.due(now) {
            self.send_line(&user, false);
        }
        for place in self.ledger.due(now) {
            let Some(hold) = self.ledger.hold(place) else {
                continue;
            };
            if hold.since + self.patience.max_hold <= now {
                self.settle(place);
            } else {
                self.send(place);
            }
        }
    }
}
