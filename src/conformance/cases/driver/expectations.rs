//! What steps state, laid beside what has happened.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Driver;
use crate::conformance::cases::happened::{Entry, Seen, Stated, What};
use crate::conformance::cases::language::{Expectation, Kind, Place, With};
use crate::conformance::cases::matching::{differs, is_one_place, matches, told_of};
use crate::conformance::cases::seen;

impl Driver<'_> {
    /// Answers what the case allows and no step has stated, until nothing more comes of it.
    pub(super) async fn answer_allowed(&self) {
        while self.world.log.answer_allowed() {
            self.world.settled().await;
        }
    }

    /// Answers yes to all that the step has caused, until nothing more comes of it.
    pub(super) async fn observed(&mut self, number: usize) {
        loop {
            let answered = self.world.log.entries(|entries| {
                let mut any = false;
                for seen in unstated(entries) {
                    seen.stated = Stated::By(number);
                    any = true;
                    if let Some(answer) = seen.answer.take() {
                        let _ = answer.send(With::Yes);
                    }
                }
                any
            });
            if !answered {
                return;
            }
            self.world.settled().await;
        }
    }

    /// The next thing at its place is what the step states, as soon as there is one.
    pub(super) async fn sees(
        &self,
        number: usize,
        expectation: &Expectation,
    ) -> Result<(), String> {
        let until = Instant::now() + self.world.patience();
        loop {
            match self.expect(number, expectation) {
                Err(_) if Instant::now() < until && !self.is_there(expectation) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen => return seen,
            }
        }
    }

    /// Whether there is anything at its place that no step has stated.
    fn is_there(&self, expectation: &Expectation) -> bool {
        self.world
            .log
            .entries(|entries| unstated(entries).any(|seen| is_one_place(expectation, seen)))
    }

    /// The next thing at its place is what the step states.
    fn expect(&self, number: usize, expectation: &Expectation) -> Result<(), String> {
        let allow = &self.case.allow;
        let answered = self.world.log.entries(|entries| {
            let here = |seen: &&mut Seen| is_one_place(expectation, seen);
            for seen in unstated(entries).filter(here) {
                let Some(why) = differs(expectation, seen) else {
                    seen.stated = Stated::By(number);
                    return Ok(seen.answer.take());
                };
                if !is_allowed(allow, seen) {
                    return Err(why);
                }
            }
            Err(nothing_seen(expectation, entries))
        });
        self.answer(expectation, answered?);
        Ok(())
    }

    /// Something at its place is what the step states, whether others came before it or not.
    pub(super) fn expect_any(
        &self,
        number: usize,
        expectation: &Expectation,
    ) -> Result<(), String> {
        let answered = self.world.log.entries(|entries| {
            let here = |seen: &&mut Seen| is_one_place(expectation, seen);
            let mut why = None;
            for seen in unstated(entries).filter(here) {
                match differs(expectation, seen) {
                    None => {
                        seen.stated = Stated::By(number);
                        return Ok(seen.answer.take());
                    }
                    Some(difference) => why = why.or(Some(difference)),
                }
            }
            let what = seen::shown(&expectation.what);
            let why = why.unwrap_or_else(|| "nothing of the kind has happened".to_owned());
            Err(format!("{what}: {why}"))
        });
        self.answer(expectation, answered?);
        Ok(())
    }

    fn answer(
        &self,
        expectation: &Expectation,
        waiting: Option<tokio::sync::oneshot::Sender<With>>,
    ) {
        let Some(waiting) = waiting else { return };
        expectation.answer.clone().give(waiting);
    }

    /// Everything that has happened so far has been stated, or is allowed.
    pub(super) fn all_stated(&self) -> Result<(), String> {
        self.world.log.entries(|entries| {
            let mut missing = Vec::new();
            for seen in unstated(entries) {
                if !is_allowed(&self.case.allow, seen) {
                    missing.push(told_of(seen));
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            Err(format!(
                "this has happened, and no step states it:\n  - {}",
                missing.join("\n  - ")
            ))
        })
    }

    /// Every fault that was counted is named somewhere in the case.
    pub(super) fn all_faults_stated(&self) -> Result<(), String> {
        let mut named = BTreeSet::new();
        let steps = self.case.steps.iter();
        for step in steps {
            match &step.kind {
                Kind::Expectation(expectation) => texts(&expectation.what, &mut named),
                Kind::AnyOrder(all) => all.iter().for_each(|one| texts(&one.what, &mut named)),
                Kind::Faults(faults) => {
                    named.extend(faults.values().flat_map(|codes| codes.keys().cloned()));
                }
                Kind::Action(_) | Kind::Nothing | Kind::Metrics(_) => {}
            }
        }
        for allowed in &self.case.allow {
            texts(&allowed.what, &mut named);
        }
        if self.blesses {
            return Ok(());
        }
        match self.counted.unnamed_fault(&named) {
            None => Ok(()),
            Some((filter, code)) => Err(format!(
                "the fault `{code}` was counted at `{filter}`, and no step names it\n  state it: \
                 - faults: {{ {filter}: {{ {code}: 1 }} }}"
            )),
        }
    }
}

fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// That a step waits for what has not happened, and what has happened in its stead.
fn nothing_seen(expectation: &Expectation, entries: &mut [Entry]) -> String {
    let nothing = match &expectation.at {
        Place::Message(name) | Place::Frame(name) => format!("`{name}` has received nothing more"),
        Place::Closed(name) => format!("the link of `{name}` has not ended"),
        Place::Refused(name) => format!("`{name}` has not been refused"),
        Place::Call(name) | Place::Batch(name) | Place::Reports(name) | Place::Presence(name) => {
            format!("the backend `{name}` has received nothing of the kind")
        }
        Place::Record(name) => format!("the broker `{name}` has received nothing of the kind"),
        Place::Ended(key) => format!("the push `{key}` has not ended"),
    };
    let others: Vec<_> = unstated(entries).map(|seen| told_of(seen)).collect();
    match others.is_empty() {
        true => nothing,
        false => format!(
            "{nothing}; this has happened, and is to be stated first:\n  - {}",
            others.join("\n  - ")
        ),
    }
}

/// What nothing has stated yet, in order.
fn unstated(entries: &mut [Entry]) -> impl Iterator<Item = &mut Seen> {
    let entries = entries
        .iter_mut()
        .filter_map(|entry| match &mut entry.what {
            What::Seen(seen) => Some(seen),
            What::Said(_) => None,
        });
    entries.filter(|seen| seen.stated == Stated::No)
}

/// Whether the case allows it; then it counts as such.
fn is_allowed(allow: &[Expectation], seen: &mut Seen) -> bool {
    let is_so = allow.iter().any(|allowed| matches(allowed, seen));
    if is_so {
        seen.stated = Stated::Allowed;
    }
    is_so
}
