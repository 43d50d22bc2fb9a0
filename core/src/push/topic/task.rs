//! The task of a topic: what comes from the broker, from links and from the clock, one thing at a time.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use linkgate_filter::broker::{Arrival, Consumer, Event, Partition, Release, Reset};
use tokio_util::sync::CancellationToken;

use super::alone::Alone;
use super::desk::{Desk, Written};
use super::ledger::{Hold, Met, Stage};
use super::readable::Readable;
use super::record;
use crate::link::User;
use crate::push::outcome::ReceiverOutcome;

/// Reads until `stop`, and then settles or parks what is left.
pub(super) async fn run(
    (consumer, readable, alone): (Box<dyn Consumer>, Readable, Alone),
    mut desk: Desk,
    release_within: Duration,
    stop: CancellationToken,
) {
    desk.ready = desk.router.clock().now();
    let mut task = Task {
        consumer,
        readable,
        alone,
        desk,
        release_within,
        crowd_at: None,
        leaving: Vec::new(),
        held: 0,
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            turn = task.turn() => task.handle(turn),
        }
    }
    task.leave().await;
}

struct Task {
    consumer: Box<dyn Consumer>,
    readable: Readable,
    alone: Alone,
    desk: Desk,
    release_within: Duration,
    /// When to ask again which pushes have to go to make room.
    crowd_at: Option<Instant>,
    leaving: Vec<Leaving>,
    /// Records that the metric has from this task.
    held: usize,
}

/// Partitions that are to go to another node.
struct Leaving {
    assignments: Vec<u64>,
    /// When what is still unsettled is parked.
    park_at: Instant,
    /// Dropped once all is settled or parked.
    _release: Release,
}

enum Turn {
    /// Links have said what became of pushes.
    Said(Vec<(u64, ReceiverOutcome)>),
    Written(Written),
    Time,
    /// Users who were waited for.
    Come(BTreeSet<User>),
    Event(Event),
}

impl Task {
    /// What happens next. Nothing is lost when it is dropped.
    async fn turn(&mut self) -> Turn {
        let until = self.next_timer();
        let clock = std::sync::Arc::clone(self.desk.router.clock());
        let time = async move {
            match until {
                Some(until) => clock.sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            said = self.desk.under_way.said() => Turn::Said(said),
            Some(written) = self.desk.work.next() => Turn::Written(written),
            () = time => Turn::Time,
            come = self.desk.lines.come() => Turn::Come(come),
            event = self.consumer.next() => Turn::Event(event),
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let leaving = self.leaving.iter().map(|leaving| leaving.park_at);
        let ledger = &self.desk.ledger;
        let timers = [
            self.desk.next_timer(),
            ledger.next_sweep(),
            self.crowd_at,
            self.alone.next_timer(),
        ];
        timers.into_iter().flatten().chain(leaving).min()
    }

    fn handle(&mut self, turn: Turn) {
        match turn {
            Turn::Said(said) => self.said(said),
            Turn::Written(written) => self.written(&written),
            Turn::Time => self.time(),
            Turn::Come(users) => users
                .iter()
                .for_each(|user| self.desk.send_line(user, true)),
            Turn::Event(event) => self.event(event),
        }
        self.count();
    }

    fn count(&mut self) {
        let held = self.desk.ledger.len();
        let more = held as i64 - self.held as i64;
        self.desk.router.metrics().held.inc_by(more);
        self.held = held;
    }

    fn said(&mut self, said: Vec<(u64, ReceiverOutcome)>) {
        for (number, outcome) in said {
            self.desk.landed(number, outcome);
        }
    }

    fn written(&mut self, Written(place): &Written) {
        if self.desk.ledger.finish(*place) {
            self.pass(place.assignment);
        }
        let ledger = &mut self.desk.ledger;
        if ledger.resume_if_room(place.assignment)
            && let Some(partition) = ledger.partition(place.assignment)
        {
            self.consumer.resume(partition);
        }
        self.release();
    }

    /// Says up to where an assignment is done.
    fn pass(&mut self, assignment: u64) {
        let ledger = &self.desk.ledger;
        if let Some(partition) = ledger.partition(assignment)
            && let Some(offset) = ledger.done(assignment)
        {
            self.consumer.done(partition, offset);
        }
    }

    fn time(&mut self) {
        let now = self.desk.router.clock().now();
        self.desk.wake();
        self.alone.wake(now);
        self.desk.ledger.sweep(now);
        if self.crowd_at.is_some_and(|at| at <= now) {
            self.make_room();
        }
        let mut late = Vec::new();
        for leaving in self.leaving.iter_mut().filter(|own| own.park_at <= now) {
            late.extend(leaving.assignments.iter().copied());
            // Once is enough: what is being written then takes as long as it takes.
            leaving.park_at = now + self.release_within;
        }
        for assignment in late {
            self.park_all(Some(assignment));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Record(arrival) => self.record(&arrival),
            Event::Assigned(partitions) => {
                for assignment in self.assignments(&partitions) {
                    self.stays(assignment);
                }
                for partition in partitions {
                    self.desk.assign(partition);
                }
                self.release();
            }
            Event::Revoked(partitions, release) => {
                let now = self.desk.router.clock().now();
                let patience = self.patience();
                let assignments = self.assignments(&partitions);
                for assignment in &assignments {
                    self.park_idle(Some(*assignment), now.checked_sub(patience));
                }
                self.leaving.push(Leaving {
                    assignments,
                    park_at: now + patience,
                    _release: release,
                });
                self.release();
            }
            Event::Lost(partitions) => {
                let now = self.desk.router.clock().now();
                for assignment in self.assignments(&partitions) {
                    self.stays(assignment);
                    self.desk.part_with(assignment, now);
                }
                self.release();
            }
            Event::Reset(reset) => self.reset(&reset),
            Event::Elsewhere(partitions) => {
                let now = self.desk.router.clock().now();
                self.alone.heard(partitions, now);
            }
            Event::Failed(error) => self.readable.failed(&error),
            Event::Recovered => self.readable.recovered(),
        }
    }

    /// Nobody waits any more until all of an assignment is settled.
    fn stays(&mut self, assignment: u64) {
        for leaving in &mut self.leaving {
            leaving.assignments.retain(|own| *own != assignment);
        }
    }

    fn record(&mut self, arrival: &Arrival) {
        let (partition, offset) = (&arrival.partition, arrival.offset);
        let print = record::print(arrival);
        match self.desk.ledger.meet(partition, offset, print) {
            None => return,
            Some(Met::New) => self.desk.take(arrival),
            Some(Met::Again(place)) => self.desk.go_on(place),
            Some(Met::Known) => {
                self.desk.router.metrics().known();
                if let Some(assignment) = self.desk.ledger.assignment(partition) {
                    self.pass(assignment);
                }
            }
            Some(Met::Other) => {
                self.reset(&Reset {
                    partition: partition.clone(),
                    expected: offset,
                    found: offset,
                });
                self.desk.ledger.meet(partition, offset, print);
                self.desk.take(arrival);
            }
        }
        let Some(assignment) = self.desk.ledger.assignment(partition) else {
            return;
        };
        if self.desk.ledger.pause_if_full(assignment) {
            self.consumer.pause(partition);
            self.make_room();
        }
    }

    /// A partition goes on elsewhere.
    fn reset(&mut self, reset: &Reset) {
        let Reset {
            partition,
            expected,
            found,
        } = reset;
        self.desk.router.metrics().reset();
        tracing::warn!(
            topic = %partition.topic,
            partition = partition.number,
            expected,
            found,
            "a partition of pushes does not go on where it stopped: it began anew, or has lost records; it is read from what \
             there is"
        );
        if self.desk.ledger.begin_anew(partition) {
            self.consumer.resume(partition);
        }
    }

    /// Parks what has stood longest in full partitions.
    fn make_room(&mut self) {
        let now = self.desk.router.clock().now();
        let (crowd, again) = self.desk.ledger.crowd(now, self.desk.patience.min_hold);
        self.crowd_at = again;
        if self.desk.parks() {
            for place in crowd {
                self.desk.settle(place);
            }
        }
    }

    /// Hands on what is left.
    fn park_all(&mut self, of: Option<u64>) {
        for place in self.desk.ledger.holds(of) {
            self.desk.hand_on(place);
        }
    }

    /// Hands on what there is nothing to wait for: what is not under way to any link, or is so since before `asleep`.
    fn park_idle(&mut self, of: Option<u64>, asleep: Option<Instant>) {
        for place in self.desk.ledger.holds(of) {
            let is_idle = |hold: &mut Hold| {
                let is_asleep = asleep.is_some_and(|asleep| hold.since <= asleep);
                is_asleep || !hold.any(|stage| *stage == Stage::Sent)
            };
            if self.desk.ledger.hold(place).is_some_and(is_idle) {
                self.desk.hand_on(place);
            }
        }
    }

    /// How long partitions wait that are to go: no partition is read meanwhile, so a client that sleeps is not waited for.
    fn patience(&self) -> Duration {
        match self.desk.parks() {
            true => self.desk.patience.min_hold.min(self.release_within),
            false => self.release_within,
        }
    }

    fn assignments(&self, partitions: &[Partition]) -> Vec<u64> {
        let ledger = &self.desk.ledger;
        let known = |partition| ledger.assignment(partition);
        partitions.iter().filter_map(known).collect()
    }

    /// Lets partitions go of which all is settled or parked.
    fn release(&mut self) {
        let ledger = &self.desk.ledger;
        let is_settled = |leaving: &Leaving| {
            let mut assignments = leaving.assignments.iter();
            assignments.all(|assignment| ledger.unsettled(Some(*assignment)) == 0)
        };
        let (settled, left): (Vec<_>, _) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(is_settled);
        self.leaving = left;
        let now = self.desk.router.clock().now();
        for leaving in settled {
            for assignment in &leaving.assignments {
                self.desk.part_with(*assignment, now);
            }
        }
    }

    /// Reads no more, and gives back what is unsettled after a while.
    async fn leave(mut self) {
        let clock = std::sync::Arc::clone(self.desk.router.clock());
        self.desk.leaving = true;
        self.park_idle(None, None);
        for within in [self.release_within, self.release_within] {
            let over = clock.sleep_until(clock.now() + within);
            tokio::pin!(over);
            while self.desk.ledger.unsettled(None) > 0 {
                tokio::select! {
                    biased;
                    said = self.desk.under_way.said() => self.said(said),
                    Some(written) = self.desk.work.next() => self.written(&written),
                    () = &mut over => break,
                }
            }
            self.park_all(None);
        }
        let left = self.desk.ledger.unsettled(None);
        if left > 0 {
            tracing::warn!(
                left,
                "records of pushes were neither settled nor parked in time; they are read again"
            );
        }
        self.leaving.clear();
        self.desk.router.metrics().held.dec_by(self.held as i64);
        self.consumer.close().await;
    }
}
