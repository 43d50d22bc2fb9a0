//! Whether a user has no other links than those that were found.

use std::collections::BTreeSet;

use super::{Certifying, Reading, Stage};
use crate::cluster::machine::event::{Action, Holder, Tag, Verdict, Why};
use crate::cluster::machine::members::{Fresh, Standing};
use crate::cluster::machine::{Machine, Settings};
use crate::edges::directory::{Claim, Incarnation, Operation, Record, Shard, User};

impl Machine {
    /// The view had missed nothing: what is read from now on counts.
    pub(super) fn read_again(&mut self, user: &User, shard: Shard) {
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
    pub(super) fn is_read_again(&mut self, user: &User, shard: Shard, record: &Record) {
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

    /// Moves a reading on if it can; says whether it waits here no more.
    pub(super) fn certify(&mut self, user: &User) -> bool {
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
    pub(super) fn begin_again(&mut self, user: &User) -> bool {
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

    /// Asks the nodes whose links may be missing in the record.
    pub(super) fn ask_those_behind(&mut self, user: &User) {
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
    pub(in crate::cluster::machine) fn is_told(
        &mut self,
        from: Incarnation,
        number: u64,
        claims: Option<Vec<Claim>>,
    ) {
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
    pub(in crate::cluster::machine) fn forget_asked(&mut self, life: Incarnation) {
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
    pub(super) fn is_late(&mut self, user: &User) {
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
}
