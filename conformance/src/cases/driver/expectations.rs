//! What steps state, laid beside what has happened.

use std::collections::BTreeSet;
use std::time::Duration;

use linkgate_filter::units::HumanDuration;
use serde_json::Value;
use tokio::time::Instant;

use super::Driver;
use crate::cases::happened::{Entry, Seen, Stated, What};
use crate::cases::language::{Expectation, Kind, Place, With};
use crate::cases::matching::{differs, is_one_place, matches, told_of};
use crate::cases::seen;
use crate::cases::world::log::give;

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
            let answered = self.world.log.unstated(|entries| {
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
        self.is_known(&expectation.at)?;
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

    /// Whether anything can ever be seen there.
    fn is_known(&self, place: &Place) -> Result<(), String> {
        match place {
            Place::Call(name)
            | Place::Batch(name)
            | Place::Reports(name)
            | Place::Presence(name) => self.known("backend", name, self.facts.backends.iter()),
            Place::Record(name) => self.known("broker", name, self.facts.brokers.iter()),
            _ => Ok(()),
        }
    }

    /// Whether there is anything at its place that no step has stated.
    fn is_there(&self, expectation: &Expectation) -> bool {
        self.world
            .log
            .unstated(|entries| unstated(entries).any(|seen| is_one_place(expectation, seen)))
    }

    /// The next thing at its place is what the step states.
    fn expect(&self, number: usize, expectation: &Expectation) -> Result<(), String> {
        let allow = &self.case.allow;
        let answered = self.world.log.unstated(|entries| {
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
            Err(nothing_seen(expectation, entries, self.world.log.now()))
        });
        self.answer(expectation, answered?);
        Ok(())
    }

    /// The next things at their places are what the steps state, in whichever order, as soon as they are there. What one of
    /// them brings about may be another.
    pub(super) async fn expect_all(
        &self,
        number: usize,
        expectations: &[Expectation],
    ) -> Result<(), String> {
        let each = expectations.iter();
        let each = each.flat_map(|one| (1..=one.times).map(|n| one.nth(n)));
        let mut left: Vec<Expectation> = each.collect();
        for expectation in &left {
            self.is_known(&expectation.at)?;
        }
        let mut until = Instant::now() + self.world.patience();
        while !left.is_empty() {
            match self.expect_some(number, &mut left)? {
                true => {
                    self.world.settled().await;
                    until = Instant::now() + self.world.patience();
                }
                false if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                false => {
                    let what = left.iter().map(|one| seen::shown(&one.what));
                    let what = what.collect::<Vec<_>>().join("\n  - ");
                    return Err(format!("this has not happened:\n  - {what}"));
                }
            }
        }
        Ok(())
    }

    /// States what is there of it, and takes it off the list. Whether there was anything.
    fn expect_some(&self, number: usize, left: &mut Vec<Expectation>) -> Result<bool, String> {
        let allow = &self.case.allow;
        let (pairs, answers) = self.world.log.unstated(|entries| {
            // The next at each place, as many as are still waited for there.
            let mut taken: Vec<&Expectation> = Vec::new();
            let mut there = Vec::new();
            for seen in unstated(entries) {
                let here = left.iter().filter(|one| is_one_place(one, seen));
                let room = here.clone().count();
                let used = taken.iter().filter(|one| is_one_place(one, seen)).count();
                let Some(first) = here.clone().next().filter(|_| used < room) else {
                    continue;
                };
                let fits: Vec<usize> = (0..left.len())
                    .filter(|n| matches(&left[*n], seen))
                    .collect();
                if fits.is_empty() {
                    let why = here.clone().find_map(|one| differs(one, seen));
                    if is_allowed(allow, seen) {
                        continue;
                    }
                    return Err(why.unwrap_or_else(|| told_of(seen)));
                }
                taken.push(first);
                there.push((seen, fits));
            }
            let fits: Vec<&[usize]> = there.iter().map(|(_, fits)| fits.as_slice()).collect();
            let pairs = assigned(&fits, left.len())
                .ok_or_else(|| "two things that have happened are stated once".to_owned())?;
            let answers = there.iter_mut().map(|(seen, _)| {
                seen.stated = Stated::By(number);
                seen.answer.take()
            });
            Ok((pairs, answers.collect::<Vec<_>>()))
        })?;
        for (expectation, waiting) in pairs.iter().zip(answers) {
            self.answer(&left[*expectation], waiting);
        }
        let mut done = pairs.clone();
        done.sort_unstable();
        for expectation in done.iter().rev() {
            left.remove(*expectation);
        }
        Ok(!pairs.is_empty())
    }

    fn answer(
        &self,
        expectation: &Expectation,
        waiting: Option<tokio::sync::oneshot::Sender<With>>,
    ) {
        let Some(waiting) = waiting else { return };
        give(expectation.answer.clone(), waiting);
    }

    /// Everything that has happened so far has been stated, or is allowed.
    pub(super) fn all_stated(&self) -> Result<(), String> {
        self.world.log.unstated(|entries| {
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
                listed(missing)
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
                    let codes = faults.values().flatten().filter(|(_, count)| **count > 0);
                    named.extend(codes.map(|(code, _)| code.clone()));
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
fn nothing_seen(expectation: &Expectation, entries: &mut [Entry], now: Duration) -> String {
    let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let by = HumanDuration::from(Duration::from_millis(ms));
    let nothing = match &expectation.at {
        Place::Message(name) | Place::Frame(name) => format!("`{name}` has received nothing more"),
        Place::Closed(name) => format!("the link of `{name}` has not ended by {by}"),
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
            listed(others)
        ),
    }
}

/// A line for each, of not too many.
fn listed(mut lines: Vec<String>) -> String {
    const MOST: usize = 20;
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("and {more} more"));
    }
    lines.join("\n  - ")
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

/// Whether the case allows it; then it counts as such, and whoever asks is answered as the case says.
fn is_allowed(allow: &[Expectation], seen: &mut Seen) -> bool {
    let Some(allowed) = allow.iter().find(|allowed| matches(allowed, seen)) else {
        return false;
    };
    seen.stated = Stated::Allowed;
    if let Some(waiting) = seen.answer.take() {
        give(allowed.answer.clone(), waiting);
    }
    true
}

/// One of those that fit for each, and none twice.
fn assigned(fits: &[&[usize]], count: usize) -> Option<Vec<usize>> {
    /// Finds one for `at`, moving those that are placed if need be.
    fn place(
        at: usize,
        fits: &[&[usize]],
        owner: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for &one in fits[at] {
            if std::mem::replace(&mut tried[one], true) {
                continue;
            }
            if owner[one].is_none_or(|other| place(other, fits, owner, tried)) {
                owner[one] = Some(at);
                return true;
            }
        }
        false
    }
    let mut owner = vec![None; count];
    let all = (0..fits.len()).all(|at| place(at, fits, &mut owner, &mut vec![false; count]));
    let of = |at| owner.iter().position(|owner| *owner == Some(at));
    if all {
        (0..fits.len()).map(of).collect()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_many_makes_room_for_what_fits_one() {
        assert_eq!(assigned(&[&[0, 1], &[0]], 2), Some(vec![1, 0]));
        assert_eq!(assigned(&[&[0], &[0]], 2), None);
        assert_eq!(assigned(&[], 2), Some(vec![]));
    }
}
