//! This node's links, and how it stands with their claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Machine;
use super::event::{Action, Failed, FromDirectory, NewLink, Note, OfLink, Tag, Time};
use crate::edges::directory::{
    Claim, ClaimId, ClaimOf, ClaimState, Incarnation, Operation, Record, Shard, User,
};

/// The links, and who has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Links {
    links: BTreeMap<u64, Link>,
    users: BTreeMap<User, BTreeSet<u64>>,
    /// When claims are to be confirmed again.
    touch: BTreeSet<(Time, u64)>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) user: User,
    pub(super) shard: Shard,
    device: Option<Arc<str>>,
    most: u32,
    /// Of its claim, once it has one: it keeps it from life to life.
    pub(super) epoch: Option<u64>,
    /// The life of the node in which it is claimed.
    claimed: Option<Incarnation>,
    pub(super) is_served: bool,
    /// It is to go: others have its place.
    is_leaving: bool,
    touch_at: Time,
}

impl Links {
    pub(super) fn get(&self, link: u64) -> Option<&Link> {
        self.links.get(&link)
    }

    pub(super) fn get_mut(&mut self, link: u64) -> Option<&mut Link> {
        self.links.get_mut(&link)
    }

    /// Those of a shard.
    pub(super) fn of(&self, shard: Shard) -> impl Iterator<Item = (u64, &Link)> {
        let links = self.links.iter().map(|(id, link)| (*id, link));
        links.filter(move |(_, link)| link.shard == shard && !link.is_leaving)
    }

    /// The first after this one, or the first of all, that has a claim in a shard.
    pub(super) fn after(&self, last: u64, shard: Shard) -> Option<u64> {
        let claimed = |(_, link): &(&u64, &Link)| link.shard == shard && link.epoch.is_some();
        let next = self.links.range(last + 1..).find(claimed);
        let next = next.or_else(|| self.links.range(..=last).find(claimed));
        next.map(|(id, _)| *id)
    }

    /// What this node would say of a user, had it no directory.
    pub(super) fn claims(&self, user: &User, own: Incarnation) -> Vec<Claim> {
        let ids = self.users.get(user).into_iter().flatten();
        let links = ids.filter_map(|id| Some((*id, self.links.get(id)?)));
        links
            .filter(|(_, link)| !link.is_leaving)
            .map(|(id, link)| Claim {
                id: ClaimId {
                    incarnation: own,
                    link: id,
                },
                device: link.device.clone(),
                epoch: link.epoch.unwrap_or_default(),
                state: ClaimState::Online,
            })
            .collect()
    }

    pub(super) fn spread(&mut self, links: Vec<(u64, Shard)>) {
        for (id, shard) in links {
            if let Some(link) = self.links.get_mut(&id) {
                link.shard = shard;
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<Link> {
        let link = self.links.remove(&id)?;
        if let Some(ids) = self.users.get_mut(&link.user) {
            ids.remove(&id);
            if ids.is_empty() {
                self.users.remove(&link.user);
            }
        }
        self.touch.remove(&(link.touch_at, id));
        Some(link)
    }

    pub(super) fn next_touch(&self) -> Option<Time> {
        self.touch.first().map(|(at, _)| *at)
    }

    /// Those whose claims are to be confirmed again.
    pub(super) fn due(&mut self, now: Time) -> Option<(u64, Shard)> {
        while let Some(&(at, id)) = self.touch.first() {
            if at > now {
                return None;
            }
            self.touch.pop_first();
            if let Some(link) = self.links.get(&id) {
                return Some((id, link.shard));
            }
        }
        None
    }
}

impl Machine {
    pub(super) fn link_changes(&mut self, event: OfLink) {
        match event {
            OfLink::Came(new) => self.came(new),
            OfLink::Went(id) => {
                let Some(link) = self.links.remove(id) else {
                    return;
                };
                self.shards.forget(link.shard, id);
                if let Some(incarnation) = link.claimed {
                    let claim = ClaimId {
                        incarnation,
                        link: id,
                    };
                    self.shards
                        .errand(link.shard, Operation::Release(link.user, claim));
                }
            }
        }
    }

    fn came(&mut self, new: NewLink) {
        let NewLink {
            link: id,
            user,
            shard,
            device,
            most,
        } = new;
        if self.links.get(id).is_some() {
            return;
        }
        let link = Link {
            user: user.clone(),
            shard,
            device,
            most,
            epoch: None,
            claimed: None,
            is_served: false,
            is_leaving: false,
            touch_at: Time::MAX,
        };
        self.links.links.insert(id, link);
        self.links.users.entry(user.clone()).or_default().insert(id);
        self.shards.enter(shard, id);
        self.has_come(&user);
    }

    /// The directory does not answer, and links are not served without.
    pub(super) fn refuse(&mut self, id: u64) {
        self.lets_go(id, Action::Refuse(id));
    }

    /// Another link has this one's place.
    pub(super) fn replace(&mut self, id: u64) {
        self.lets_go(id, Action::Replace(id));
    }

    fn lets_go(&mut self, id: u64, action: Action) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if !std::mem::replace(&mut link.is_leaving, true) {
            let shard = link.shard;
            self.shards.forget(shard, id);
            self.act(action);
        }
    }

    /// The claim of a link, as it is to be written now.
    pub(super) fn claim(&self, id: u64, own: Incarnation, raise: u64) -> Option<Operation> {
        let link = self.links.get(id)?;
        Some(Operation::Claim(ClaimOf {
            user: link.user.clone(),
            id: ClaimId {
                incarnation: own,
                link: id,
            },
            device: link.device.clone(),
            epoch: link.epoch,
            raise,
            most: link.most,
            keep: self.settings.keep,
        }))
    }

    pub(super) fn directory_says(&mut self, event: FromDirectory) {
        match event {
            FromDirectory::Spread(spread) => {
                self.links.spread(spread.links);
                self.shards.spread(spread.shards, &self.links);
                self.look_in_other_shards(spread.users);
                self.look_for_all();
            }
            FromDirectory::Life(shard, life) => self.life_is(shard, life),
            FromDirectory::Answer(shard, Tag::Claim(id, incarnation), answer, took) => {
                let Some(user) = self.shards.landed(shard, (id, incarnation), took) else {
                    return;
                };
                match answer {
                    Ok(record) => {
                        let claim = ClaimId {
                            incarnation,
                            link: id,
                        };
                        self.is_claimed(shard, claim, &user, &record);
                    }
                    Err(failed) => self.is_not_claimed(shard, id, failed),
                }
            }
            FromDirectory::Answer(shard, Tag::Audit(id), answer, _) => {
                self.is_audited(shard, id, answer);
            }
            FromDirectory::Answer(shard, Tag::Find(user), answer, _) => {
                self.is_found(shard, &user, answer);
            }
            FromDirectory::Answer(shard, Tag::Nobody, answer, _) => {
                if let Err(failed) = answer {
                    self.shards.fails(shard, failed, self.now);
                }
            }
        }
    }

    fn is_claimed(&mut self, shard: Shard, claim: ClaimId, user: &User, record: &Record) {
        self.shards.answers(shard);
        let id = claim.link;
        let is_own = self.members.own() == Some(claim.incarnation);
        let found = record.claims.iter().find(|found| found.id == claim);
        let touch_at = self.now + self.settings.touch();
        match self.links.links.get_mut(&id) {
            // It went before its claim was entered.
            None if found.is_some() => {
                let release = Operation::Release(user.clone(), claim);
                self.shards.errand(shard, release);
            }
            Some(link) if is_own && let Some(found) = found => {
                link.epoch = Some(found.epoch);
                link.claimed = Some(claim.incarnation);
                self.links.touch.remove(&(link.touch_at, id));
                link.touch_at = touch_at;
                self.links.touch.insert((touch_at, id));
                self.serve(id);
            }
            _ => {}
        }
        self.sees_record(shard, user, record);
    }

    /// Has a link served, unless it is or is to go.
    pub(super) fn serve(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(id)
            && !link.is_leaving
            && !std::mem::replace(&mut link.is_served, true)
        {
            let shard = link.shard;
            self.shards.is_served(shard, id);
            self.act(Action::Serve(id));
        }
    }

    /// The claim of a link was not entered, or nobody knows: it is tried again.
    fn is_not_claimed(&mut self, shard: Shard, id: u64, failed: Failed) {
        self.shards.fails(shard, failed, self.now);
        let Some(link) = self.links.get(id).filter(|link| !link.is_leaving) else {
            return;
        };
        let is_claimed = link.claimed.is_some() && link.claimed == self.members.own();
        self.shards.enter_again(link.shard, id, is_claimed);
    }

    /// What was found where the claim of a link should stand.
    fn is_audited(&mut self, shard: Shard, id: u64, answer: Result<Record, Failed>) {
        let record = match answer {
            Ok(record) => record,
            Err(failed) => return self.shards.fails(shard, failed, self.now),
        };
        self.shards.answers(shard);
        let Some(link) = self.links.get(id) else {
            return;
        };
        let user = link.user.clone();
        let is_claimed = link.claimed.is_some() && link.claimed == self.members.own();
        let entries = record.claims.iter().chain(&record.displaced);
        let mut own = entries.filter(|found| found.id.link == id);
        let stands = own.any(|found| Some(found.id.incarnation) == self.members.own());
        if is_claimed && !stands && !record.is_partial && !self.shards.is_waiting(shard, id) {
            self.note(Note::Lost(shard));
            self.shards.doubt(shard, &self.links);
        }
        self.sees_record(shard, &user, &record);
    }
}
