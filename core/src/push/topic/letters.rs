//! What is written of a push: reports, what is parked of it, dead letters.

use std::sync::Arc;

use linkgate_filter::broker::{Arrival, Broker, Record};
use linkgate_filter::{Clock, Fault};

use super::record::{self, History};
use crate::outbox::Letter;
use crate::push::message::Push;
use crate::push::metrics::PushMetrics;
use crate::push::outcome::{ReceiverOutcome, Status};
use crate::push::report::{Course, Reporter};
use crate::telemetry::limit::Every;

pub(super) struct Letters {
    /// The topic of parked pushes; `None`: nothing is parked.
    pub(super) park: Option<Arc<str>>,
    pub(super) dead_letter: Arc<str>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) reporter: Option<Reporter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: PushMetrics,
    /// Lines of the log on dead letters.
    pub(super) lines: Every,
}

impl Letters {
    /// A record that is no push, where its reason can be read.
    pub(super) fn poison(&self, arrival: &Arrival, fault: &Fault) -> Letter {
        self.metrics.refused(&fault.code);
        self.metrics.dead();
        let record = record::poison(&self.dead_letter, arrival);
        self.put_aside(record::with_reason(record, fault))
    }

    /// A push that its receivers did not acknowledge in time.
    pub(super) fn expired(&self, push: &Push, receivers: Vec<String>, history: &History) -> Letter {
        self.metrics.dead();
        let record = record::push(&self.dead_letter, push, receivers, history);
        let reason = Fault::backend("push.expired");
        self.put_aside(record::with_reason(record, &reason))
    }

    fn put_aside(&self, record: Record) -> Letter {
        if let Some(held_back) = self.lines.pass() {
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
        let broker = Arc::clone(&self.broker);
        let instead = move || vec![Letter::record(&broker, reason)];
        Letter::record(&self.broker, record).or(instead)
    }

    /// A push to be taken up again, for those who have not got it; nothing where nothing is parked.
    pub(super) fn parked(
        self: &Arc<Self>,
        push: Push,
        history: History,
        left: Vec<String>,
    ) -> Option<Letter> {
        let park = self.park.as_deref()?;
        self.metrics.parked();
        let next = History {
            parked: history.parked + 1,
            ..history.clone()
        };
        let record = record::push(park, &push, left.clone(), &next);
        let letters = Arc::clone(self);
        let instead = move || letters.not_parked(&push, &history, left);
        Some(Letter::record(&self.broker, record).or(instead))
    }

    /// The broker will never take a push to park it: its receivers are not left without a word.
    fn not_parked(&self, push: &Push, history: &History, left: Vec<String>) -> Vec<Letter> {
        let fault = Fault::gateway("push.park_refused");
        let fault = fault.detail("the broker does not take the push to park it");
        let fault = match history.sent {
            true => fault.effect_unknown(),
            false => fault,
        };
        if self.reporter.is_none() {
            self.metrics.dead();
            let record = record::push(&self.dead_letter, push, left, history);
            return vec![self.put_aside(record::with_reason(record, &fault))];
        }
        let rejected = |user| (user, ReceiverOutcome::rejected(fault.clone()));
        self.reports(push, history, left.into_iter().map(rejected).collect())
    }

    /// What became of a push, for each of these users.
    pub(super) fn reports(
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
            settled_at: self.clock.wall(),
        };
        // Of a user who is not here a node that is one of many readers knows nothing.
        let is_known = |(_, outcome): &(String, ReceiverOutcome)| {
            self.park.is_some() || outcome.status != Status::Offline
        };
        let ended = ended.into_iter().filter(is_known);
        let letter = |(user, outcome): (String, ReceiverOutcome)| {
            reporter.letter(push, &user, &outcome, &course)
        };
        let letters: Vec<_> = ended.map(letter).collect();
        self.metrics.reported(letters.len());
        letters
    }
}
