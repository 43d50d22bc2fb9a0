//! Looking for users on behalf of pushes.
//!
//! A record that is read says where a user's links are. That there are no others takes a second reading, and is certain only
//! if nothing can have been missed: the view of the registry had missed nothing when that reading began, as a node that was
//! behind may have caught up since; every node in it lists the life in which the shard was read, or is asked afterwards; and
//! the shard was still in that life after it. Each wait here ends: by an answer, or by its time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Action, Failed, Holder, Need, OfPush, Tag, Time, Verdict, Why};
use super::members::{Fresh, Standing};
use super::{Machine, Settings};
use crate::edges::directory::{
    Claim, ClaimId, ClaimState, Incarnation, Life, Operation, Record, Shard, User,
};

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

    /// Tells of the links that a record has. Says whether somebody needs to know more, and may.
    fn tells_of(&mut self, user: &User, record: &Record) -> bool {
        let holders = self.holders(user, record);
        let Some(reading) = self.lookups.reading(user) else {
            return false;
        };
        let is_there = !holders.is_empty();
        let is_enough = |need: Need| match need {
            Need::Found => true,
            Need::CertainIfNone => is_there,
            Need::Certain => false,
        };
        let askers = std::mem::take(&mut reading.askers).into_iter();
        let (done, open): (Vec<_>, Vec<_>) = askers.partition(|(_, need)| is_enough(*need));
        reading.askers.clone_from(&open);
        for (ticket, _) in &done {
            self.tell(user, *ticket, holders.clone(), Some(Verdict::Enough));
        }
        for (ticket, _) in open.iter().filter(|_| is_there) {
            self.tell(user, *ticket, holders.clone(), None);
        }
        if open.is_empty() {
            self.end_reading(user, Verdict::Enough);
        } else if record.is_partial {
            self.end_reading(user, Verdict::Unknown(Why::Unreadable));
        } else {
            return true;
        }
        false
    }

    /// The view had missed nothing: what is read from now on counts.
    fn read_again(&mut self, user: &User, shard: Shard) {
        let Some(life) = self.shards.life(shard) else {
            return self.end_reading(user, Verdict::Unknown(Why::Directory));
        };
        let behind: BTreeSet<Incarnation> = self.members.behind(life).collect();
        if behind.len() > Settings::MOST_ASKED {
            return self.end_reading(user, Verdict::Unknown(Why::Nodes));
        }
        if let Some(reading) = self.lookups.reading(user) {
            reading.stage = Stage::Certifies(Certifying {
                life,
                behind,
                question: None,
                has_asked: false,
            });
        }
        self.lookups.set_timer(user, None);
        let find = Operation::Find(user.clone());
        self.act(Action::Run(shard, life, find, Tag::Find(user.clone())));
    }

    /// The record that counts was read.
    fn is_read_again(&mut self, user: &User, shard: Shard, record: &Record) {
        if !self.tells_of(user, record) {
            return;
        }
        let is_newer =
            |claim: &Claim| self.members.standing(claim.id.incarnation) == Standing::Newer;
        if record.claims.iter().any(is_newer) {
            return self.end_reading(user, Verdict::Unknown(Why::Registry));
        }
        let question = self.shards.next_question(shard);
        if let Some(reading) = self.lookups.reading(user)
            && let Stage::Certifies(certifying) = &mut reading.stage
        {
            certifying.question = Some(question);
        }
        self.lookups.waiting.insert(user.clone());
        self.ask_life(shard);
    }

    /// The nodes that hold links by a record. Claims whose links or nodes are no more are taken out of the directory.
    fn holders(&mut self, user: &User, record: &Record) -> Vec<Holder> {
        let mut holders: BTreeMap<Incarnation, Vec<Claim>> = BTreeMap::new();
        for claim in &record.claims {
            let life = claim.id.incarnation;
            match self.members.standing(life) {
                Standing::Own if self.links.get(claim.id.link).is_none() => {
                    self.release(user, claim.id);
                }
                Standing::Own | Standing::Lives if claim.state == ClaimState::Online => {
                    holders.entry(life).or_default().push(claim.clone());
                }
                Standing::Ended => {
                    let since = self.members.ended_at(life, self.now);
                    if self.now >= since + self.settings.resume_for {
                        self.release(user, claim.id);
                    }
                }
                Standing::Own | Standing::Lives | Standing::Newer => {}
            }
        }
        let holder = |(incarnation, claims)| Holder {
            incarnation,
            claims,
        };
        holders.into_iter().map(holder).collect()
    }

    fn release(&mut self, user: &User, claim: ClaimId) {
        if let Some(lookup) = self.lookups.users.get(user) {
            let shard = lookup.shard;
            self.shards
                .errand(shard, Operation::Release(user.clone(), claim));
        }
    }

    /// Somebody was sent here for a link that this node may not have.
    pub(super) fn was_not_here(&mut self, user: User, shard: Shard, claim: ClaimId) {
        let is_own = self.members.own() == Some(claim.incarnation);
        if is_own && self.links.get(claim.link).is_none() {
            self.shards.errand(shard, Operation::Release(user, claim));
        }
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

    /// Moves a reading on if it can; says whether it waits here no more.
    fn certify(&mut self, user: &User) -> bool {
        let Some(lookup) = self.lookups.users.get(user) else {
            return true;
        };
        let shard = lookup.shard;
        let Some(reading) = &lookup.reading else {
            return true;
        };
        let certifying = match &reading.stage {
            Stage::Begins(question) => {
                if self.shards.answer(shard, *question).is_none() {
                    return false;
                }
                return self.begin_again(user);
            }
            Stage::Reads(_) => return true,
            Stage::Sees(life, record, _) => {
                let newer = record.claims.iter();
                let newer = newer.map(|claim| self.members.standing(claim.id.incarnation));
                if newer
                    .into_iter()
                    .any(|standing| standing == Standing::Newer)
                {
                    return false;
                }
                let (life, record) = (*life, record.clone());
                self.goes_on(user, life, record, false);
                return true;
            }
            Stage::Freshens(question) => match self.members.is_fresh(*question) {
                Fresh::Open => return false,
                Fresh::Behind => {
                    if reading.until.is_none() {
                        let until = self.now + Settings::VIEW_WAIT;
                        self.lookups.set_timer(user, Some(until));
                    }
                    return false;
                }
                Fresh::Unknown => {
                    self.end_reading(user, Verdict::Unknown(Why::Registry));
                    return true;
                }
                Fresh::Yes => {
                    self.read_again(user, shard);
                    return true;
                }
            },
            Stage::Certifies(certifying) => certifying,
        };
        let (life, has_asked) = (certifying.life, certifying.has_asked);
        let Some(question) = certifying.question else {
            return true;
        };
        match self.shards.answer(shard, question) {
            _ if has_asked && !certifying.behind.is_empty() => return false,
            None => return false,
            Some(Some(now)) if now == life || has_asked => {
                if certifying.behind.is_empty() {
                    self.end_reading(user, Verdict::Certain);
                } else {
                    self.ask_those_behind(user);
                    return false;
                }
            }
            Some(_) => self.end_reading(user, Verdict::Unknown(Why::Directory)),
        }
        true
    }

    /// The life of the shard is known now, or it does not answer.
    fn begin_again(&mut self, user: &User) -> bool {
        let Some(lookup) = self.lookups.users.get(user) else {
            return true;
        };
        if self.shards.life(lookup.shard).is_none() {
            self.end_reading(user, Verdict::Unknown(Why::Directory));
            return true;
        }
        self.begin_anew(user);
        true
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

    /// Asks the nodes whose links may be missing in the record.
    fn ask_those_behind(&mut self, user: &User) {
        let Some(reading) = self.lookups.reading(user) else {
            return;
        };
        let Stage::Certifies(certifying) = &mut reading.stage else {
            return;
        };
        certifying.has_asked = true;
        let behind = certifying.behind.clone();
        let until = self.now + Settings::ASK_WAIT;
        self.lookups.set_timer(user, Some(until));
        for life in behind {
            self.lookups.next_ask += 1;
            let number = self.lookups.next_ask;
            self.lookups.asks.insert(number, (user.clone(), life));
            self.act(Action::Ask(life, number, user.clone()));
        }
    }

    /// A node says which links of a user it has.
    pub(super) fn is_told(&mut self, from: Incarnation, number: u64, claims: Option<Vec<Claim>>) {
        let Some((user, asked)) = self.lookups.asks.remove(&number) else {
            return;
        };
        let Some(reading) = self.lookups.reading(&user) else {
            return;
        };
        let Stage::Certifies(certifying) = &mut reading.stage else {
            return;
        };
        let Some(claims) = claims.filter(|_| asked == from) else {
            return self.end_reading(&user, Verdict::Unknown(Why::Nodes));
        };
        if !certifying.behind.remove(&from) {
            return;
        }
        let askers = reading.askers.clone();
        self.lookups.stirred.insert(user.clone());
        if !claims.is_empty() {
            let holder = Holder {
                incarnation: from,
                claims,
            };
            for (ticket, _) in askers {
                self.tell(&user, ticket, vec![holder.clone()], None);
            }
        }
    }

    /// A life is over, or its node does not answer: whoever was asked there says nothing any more.
    pub(super) fn forget_asked(&mut self, life: Incarnation) {
        let has_ended = self.members.standing(life) == Standing::Ended;
        let asks = self
            .lookups
            .asks
            .iter()
            .filter(|(_, (_, asked))| *asked == life);
        let asks: Vec<u64> = asks.map(|(number, _)| *number).collect();
        for number in asks {
            // Links of a life that is over are nobody's.
            self.is_told(life, number, has_ended.then(Vec::new));
        }
    }

    /// A reading has taken its time.
    fn is_late(&mut self, user: &User) {
        let Some(reading) = self.lookups.reading(user) else {
            return;
        };
        reading.until = None;
        match &reading.stage {
            Stage::Begins(_) | Stage::Reads(_) => {}
            Stage::Freshens(_) => self.end_reading(user, Verdict::Unknown(Why::Registry)),
            Stage::Sees(_, _, is_read) if !is_read => {
                if let Some(Reading {
                    stage: Stage::Sees(_, _, is_read),
                    ..
                }) = self.lookups.reading(user)
                {
                    *is_read = true;
                }
                let until = self.now + Settings::VIEW_WAIT;
                self.lookups.set_timer(user, Some(until));
                self.lookups.waiting.insert(user.clone());
                self.read_view();
            }
            Stage::Sees(life, record, _) => {
                let (life, record) = (*life, record.clone());
                self.goes_on(user, life, record, false);
            }
            Stage::Certifies(_) => self.end_reading(user, Verdict::Unknown(Why::Nodes)),
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

    /// One who is waited for was looked for.
    fn is_looked_for(&mut self, user: &User, holders: &[Holder], verdict: Option<Verdict>) {
        if !holders.is_empty() {
            self.has_come(user);
        } else if verdict.is_some()
            && let Some(awaited) = self.lookups.awaited.get_mut(user)
        {
            awaited.looks = awaited.looks.saturating_add(1);
            let pause = Duration::from_secs(1 << awaited.looks.min(4));
            let pause = pause.min(Duration::from_secs(10));
            // Those who were looked for together are not for ever.
            let jitter = self.lookups.next_ask.wrapping_add(user.1.len() as u64) % 100;
            let jitter = pause / 1000 * u32::try_from(jitter).unwrap_or_default();
            self.lookups.await_at(user, self.now + pause + jitter);
        }
    }

    /// A user has come, here or elsewhere.
    pub(super) fn has_come(&mut self, user: &User) {
        if self.lookups.forget_awaited(user) {
            self.act(Action::Come(user.clone()));
        }
    }

    /// Who is waited for may be where nobody looked: all are looked for once more.
    pub(super) fn look_for_all(&mut self) {
        let users: Vec<User> = self.lookups.awaited.keys().cloned().collect();
        for user in users {
            self.lookups.await_at(&user, self.now);
        }
    }

    fn look_for_awaited(&mut self) {
        const SECOND: Duration = Duration::from_secs(1);
        while let Some((at, user)) = self.lookups.due.first().cloned()
            && at <= self.now
        {
            if self.now >= self.lookups.second.0 + SECOND {
                self.lookups.second = (self.now, 0);
            }
            if self.lookups.second.1 >= self.settings.looks_per_second {
                return;
            }
            self.lookups.second.1 += 1;
            self.lookups.due.pop_first();
            if let Some(awaited) = self.lookups.awaited.get(&user) {
                let shard = awaited.shard;
                self.look(&user, shard, (AWAITED, Need::Found));
            }
        }
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
