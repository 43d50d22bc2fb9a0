//! Looking for users on behalf of pushes.
//!
//! A record that is read says where a user's links are. That there are no others takes a second reading, and is certain only
//! if nothing can have been missed: the view of the registry had missed nothing when that reading began, as a node that was
//! behind may have caught up since; every node in it lists the life in which the shard was read, or is asked afterwards; and
//! the shard was still in that life after it. Each wait here ends: by an answer, or by its time.

mod awaited;
mod certify;
mod holders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Action, Failed, Holder, Need, OfPush, Tag, Time, Verdict, Why};
use super::members::Standing;
use super::{Machine, Settings};
use crate::edges::directory::{Claim, Incarnation, Life, Operation, Record, Shard, User};

/// Whoever looks, by its ticket, and what it needs to know.
type Asker = (u64, Need);

/// The ticket of those who wait for a user to come.
const AWAITED: u64 = u64::MAX;

/// All that look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lookups {
    users: BTreeMap<User, Lookup>,
    tickets: BTreeMap<u64, User>,
    /// When readings end at the latest, or go on.
    timers: BTreeSet<(Time, User)>,
    /// Readings that wait for the answer of a shard, of the registry, or for a view.
    waiting: BTreeSet<User>,
    /// Those of them for which something may have come.
    stirred: BTreeSet<User>,
    asks: BTreeMap<u64, (User, Incarnation)>,
    next_ask: u64,
    awaited: BTreeMap<User, Awaited>,
    due: BTreeSet<(Time, User)>,
    /// Since when looks are counted, and how many there were.
    second: (Time, u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lookup {
    shard: Shard,
    /// Those who came after the reading had begun: it does not tell them all.
    next: Vec<Asker>,
    reading: Option<Reading>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reading {
    askers: Vec<Asker>,
    stage: Stage,
    /// When it is over at the latest.
    until: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The shard is asked for its life, by this question.
    Begins(u64),
    /// The record is read.
    Reads(Life),
    /// Some claims are of lives that the view does not have yet. It is waited for, then read by a majority.
    Sees(Life, Record, bool),
    /// The registry is asked whether the view is behind, by this question.
    Freshens(u64),
    /// Whether there are no others is found out.
    Certifies(Certifying),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Certifying {
    life: Life,
    /// Nodes whose links may be missing in that life: they are asked.
    behind: BTreeSet<Incarnation>,
    /// Once the record is read: the question to the shard whether it is still in that life.
    question: Option<u64>,
    /// They have been asked; those that have answered are behind no more.
    has_asked: bool,
}

/// A user who is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Awaited {
    shard: Shard,
    at: Time,
    looks: u8,
}

impl Lookups {
    /// Something has come for which readings may wait.
    pub(super) fn stir(&mut self) {
        self.stirred.append(&mut self.waiting);
    }

    /// All who are looked for, or waited for.
    pub(super) fn looked_for(&self) -> Vec<User> {
        let waited_for = self.awaited.keys();
        let waited_for = waited_for.filter(|user| !self.users.contains_key(*user));
        self.users.keys().chain(waited_for).cloned().collect()
    }

    fn set_timer(&mut self, user: &User, until: Option<Time>) {
        let lookup = self.users.get_mut(user);
        if let Some(reading) = lookup.and_then(|lookup| lookup.reading.as_mut()) {
            if let Some(before) = std::mem::replace(&mut reading.until, until) {
                self.timers.remove(&(before, user.clone()));
            }
            self.timers.extend(until.map(|at| (at, user.clone())));
        }
    }

    fn reading(&mut self, user: &User) -> Option<&mut Reading> {
        self.users.get_mut(user)?.reading.as_mut()
    }

    fn forget_asks_for(&mut self, user: &User) {
        self.asks.retain(|_, (asked_for, _)| asked_for != user);
    }

    fn await_at(&mut self, user: &User, at: Time) {
        if let Some(awaited) = self.awaited.get_mut(user) {
            self.due.remove(&(awaited.at, user.clone()));
            awaited.at = at;
            self.due.insert((at, user.clone()));
        }
    }

    fn forget_awaited(&mut self, user: &User) -> bool {
        let awaited = self.awaited.remove(user);
        awaited.is_some_and(|awaited| self.due.remove(&(awaited.at, user.clone())))
    }
}

impl Machine {
    pub(super) fn push_asks(&mut self, event: OfPush) {
        match event {
            OfPush::Look(ticket, user, shard, need) => {
                self.lookups.tickets.insert(ticket, user.clone());
                self.look(&user, shard, (ticket, need));
            }
            OfPush::Forget(ticket) => {
                let Some(user) = self.lookups.tickets.remove(&ticket) else {
                    return;
                };
                if let Some(lookup) = self.lookups.users.get_mut(&user) {
                    let others = |(other, _): &Asker| *other != ticket;
                    lookup.next.retain(others);
                    if let Some(reading) = &mut lookup.reading {
                        reading.askers.retain(others);
                    }
                }
            }
            OfPush::Await(user, shard) => {
                let at = self.now + Duration::from_secs(1);
                let awaited = Awaited {
                    shard,
                    at,
                    looks: 0,
                };
                if self.lookups.awaited.insert(user.clone(), awaited).is_none() {
                    self.lookups.due.insert((at, user));
                } else {
                    self.lookups.await_at(&user, at);
                }
            }
            OfPush::Unawait(user) => {
                self.lookups.forget_awaited(&user);
            }
        }
    }

    fn look(&mut self, user: &User, shard: Shard, asker: Asker) {
        let lookup = Lookup {
            shard,
            next: Vec::new(),
            reading: None,
        };
        let lookup = self.lookups.users.entry(user.clone()).or_insert(lookup);
        lookup.shard = shard;
        lookup.next.push(asker);
        if lookup.reading.is_none() {
            self.begin_reading(user);
        }
    }

    /// Reads for all who have come since the last reading began.
    fn begin_reading(&mut self, user: &User) {
        let Some(lookup) = self.lookups.users.get_mut(user) else {
            return;
        };
        let askers = std::mem::take(&mut lookup.next);
        if askers.is_empty() {
            self.lookups.users.remove(user);
            return;
        }
        let shard = lookup.shard;
        let (stage, run) = match self.shards.life(shard) {
            Some(life) => {
                let find = Operation::Find(user.clone());
                let run = Action::Run(shard, life, find, Tag::Find(user.clone()));
                (Stage::Reads(life), Some(run))
            }
            None => {
                // The answer to a question that is open will do.
                let question = self.shards.next_question(shard);
                let is_asked = self.shards.is_asked(shard);
                (Stage::Begins(question - u64::from(is_asked)), None)
            }
        };
        lookup.reading = Some(Reading {
            askers,
            stage,
            until: None,
        });
        match run {
            Some(run) => self.act(run),
            None if self.shards.is_asked(shard) => {
                self.lookups.stirred.insert(user.clone());
            }
            None => self.end_reading(user, Verdict::Unknown(Why::Directory)),
        }
    }

    /// A record was read, or not.
    pub(super) fn is_found(&mut self, shard: Shard, user: &User, answer: Result<Record, Failed>) {
        match &answer {
            Ok(record) => {
                self.shards.answers(shard);
                self.sees_record(shard, user, record);
            }
            Err(failed) => self.shards.fails(shard, *failed, self.now),
        }
        let stage = self.lookups.reading(user).map(|reading| &reading.stage);
        match (stage, answer) {
            (Some(Stage::Reads(life)), Ok(record)) => {
                let life = *life;
                self.goes_on(user, life, record, true);
            }
            (Some(Stage::Certifies(certifying)), Ok(record)) if certifying.question.is_none() => {
                self.is_read_again(user, shard, &record);
            }
            (Some(Stage::Reads(_) | Stage::Certifies(_)), Err(_)) => {
                self.end_reading(user, Verdict::Unknown(Why::Directory));
            }
            _ => {}
        }
    }

    /// Tells of the links that were found, and sees whether there may be others. `waits`: for a view that is behind.
    fn goes_on(&mut self, user: &User, life: Life, record: Record, waits: bool) {
        let is_newer =
            |claim: &Claim| self.members.standing(claim.id.incarnation) == Standing::Newer;
        let has_newer = record.claims.iter().any(is_newer);
        if has_newer && waits {
            let until = self.now + Settings::VIEW_WAIT;
            if let Some(reading) = self.lookups.reading(user) {
                reading.stage = Stage::Sees(life, record, false);
            }
            self.lookups.set_timer(user, Some(until));
            self.lookups.stirred.insert(user.clone());
            return;
        }
        if !self.tells_of(user, &record) {
            return;
        }
        if has_newer {
            return self.end_reading(user, Verdict::Unknown(Why::Registry));
        }
        let question = self.members.next_newest();
        if let Some(reading) = self.lookups.reading(user) {
            reading.stage = Stage::Freshens(question);
        }
        self.lookups.set_timer(user, None);
        self.lookups.waiting.insert(user.clone());
        self.ask_newest();
    }

    /// Has all readings go on that can.
    pub(super) fn move_lookups(&mut self) {
        while let Some(user) = self.lookups.stirred.pop_first() {
            if !self.certify(&user) {
                self.lookups.waiting.insert(user);
            }
        }
        while let Some((at, user)) = self.lookups.timers.first().cloned()
            && at <= self.now
        {
            self.lookups.timers.pop_first();
            self.is_late(&user);
        }
        self.look_for_awaited();
    }

    /// Reads anew for all who look.
    fn begin_anew(&mut self, user: &User) {
        if let Some(lookup) = self.lookups.users.get_mut(user)
            && let Some(reading) = lookup.reading.take()
        {
            let mut askers = reading.askers;
            askers.append(&mut lookup.next);
            lookup.next = askers;
        }
        self.begin_reading(user);
    }

    /// These users stand in these shards now. Nobody answers what was asked before: all readings begin anew.
    pub(super) fn look_in_other_shards(&mut self, users: Vec<(User, Shard)>) {
        for (user, shard) in users {
            if let Some(awaited) = self.lookups.awaited.get_mut(&user) {
                awaited.shard = shard;
            }
            let Some(lookup) = self.lookups.users.get_mut(&user) else {
                continue;
            };
            lookup.shard = shard;
            if !self.shards.is_asked(shard) {
                self.ask_life(shard);
            }
            self.lookups.set_timer(&user, None);
            self.lookups.forget_asks_for(&user);
            self.begin_anew(&user);
        }
    }

    /// Answers all who are still there, and begins the next reading.
    fn end_reading(&mut self, user: &User, verdict: Verdict) {
        self.lookups.set_timer(user, None);
        let Some(lookup) = self.lookups.users.get_mut(user) else {
            return;
        };
        let Some(reading) = lookup.reading.take() else {
            return;
        };
        if let Stage::Certifies(certifying) = &reading.stage
            && certifying.has_asked
        {
            self.lookups.forget_asks_for(user);
        }
        // Who has come here meanwhile is no less here.
        let own = self
            .members
            .own()
            .map(|own| (own, self.links.claims(user, own)));
        let own = own.filter(|(_, claims)| !claims.is_empty());
        let own = own.map(|(incarnation, claims)| Holder {
            incarnation,
            claims,
        });
        for (ticket, _) in reading.askers {
            self.tell(user, ticket, own.iter().cloned().collect(), Some(verdict));
        }
        self.begin_reading(user);
    }

    fn tell(&mut self, user: &User, ticket: u64, holders: Vec<Holder>, verdict: Option<Verdict>) {
        if ticket == AWAITED {
            return self.is_looked_for(user, &holders, verdict);
        }
        if verdict.is_some() {
            self.lookups.tickets.remove(&ticket);
        }
        self.act(Action::Found(ticket, holders, verdict));
    }

    pub(super) fn lookups_timer(&self) -> Option<Time> {
        let reading = self.lookups.timers.first().map(|(at, _)| *at);
        let awaited = self.lookups.due.first().map(|(at, _)| *at);
        let next_second = self.lookups.second.0 + Duration::from_secs(1);
        let awaited =
            awaited.map(
                |at| match self.lookups.second.1 >= self.settings.looks_per_second {
                    true => at.max(next_second),
                    false => at,
                },
            );
        reading.into_iter().chain(awaited).min()
    }
}
