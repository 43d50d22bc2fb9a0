//! Fences: holders are told of claims that newer ones have displaced, until they have confirmed it or are no more.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Action, Time};
use super::members::Standing;
use super::{Machine, Settings};
use crate::edges::directory::{ClaimId, Incarnation, Operation, Record, Shard, User};

/// Those that are to be confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fences {
    open: BTreeMap<ClaimId, Fence>,
    due: BTreeSet<(Time, ClaimId)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fence {
    user: User,
    shard: Shard,
    next: Time,
}

impl Fences {
    /// Beyond it none is sent: whoever reads the record next sends it.
    const MOST: usize = 100_000;

    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn open(&mut self, claim: ClaimId, fence: Fence) {
        if self.open.len() < Self::MOST && !self.open.contains_key(&claim) {
            self.due.insert((fence.next, claim));
            self.open.insert(claim, fence);
        }
    }

    fn close(&mut self, claim: ClaimId) -> Option<Fence> {
        let fence = self.open.remove(&claim)?;
        self.due.remove(&(fence.next, claim));
        Some(fence)
    }

    /// One whose time has come; its next one is then.
    fn turn(&mut self, now: Time, next: Time) -> Option<ClaimId> {
        let (at, claim) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, claim));
        self.due.insert((next, claim));
        self.open.get_mut(&claim)?.next = next;
        Some(claim)
    }
}

impl Machine {
    /// A record was read: the holders of what was displaced are told.
    pub(super) fn sees_record(&mut self, shard: Shard, user: &User, record: &Record) {
        for displaced in &record.displaced {
            let claim = displaced.id;
            match self.members.standing(claim.incarnation) {
                Standing::Own => {
                    self.replace(claim.link);
                    self.confirm(shard, user, claim);
                }
                Standing::Ended => self.confirm(shard, user, claim),
                Standing::Lives | Standing::Newer => {
                    let fence = Fence {
                        user: user.clone(),
                        shard,
                        next: self.now,
                    };
                    self.fences.open(claim, fence);
                }
            }
        }
    }

    fn confirm(&mut self, shard: Shard, user: &User, claim: ClaimId) {
        let confirm = Operation::Confirm(user.clone(), vec![claim]);
        self.shards.errand(shard, confirm);
    }

    /// Sends what is due. Whose holder is no more is confirmed.
    pub(super) fn move_fences(&mut self) {
        let (now, next) = (self.now, self.now + Settings::RETRY);
        while let Some(claim) = self.fences.turn(now, next) {
            if self.members.standing(claim.incarnation) == Standing::Ended {
                self.fence_is_confirmed(claim);
            } else if let Some(fence) = self.fences.open.get(&claim) {
                let user = fence.user.clone();
                self.act(Action::Fence(claim.incarnation, user, claim));
            }
        }
    }

    /// Its holder has let the link go, or has not had it.
    pub(super) fn fence_is_confirmed(&mut self, claim: ClaimId) {
        if let Some(fence) = self.fences.close(claim) {
            self.confirm(fence.shard, &fence.user, claim);
        }
    }

    /// A newer claim has displaced a link of this node.
    pub(super) fn is_fenced(&mut self, from: Incarnation, user: &User, claim: ClaimId) {
        let is_own = self.members.own() == Some(claim.incarnation);
        let link = self.links.get(claim.link).filter(|_| is_own);
        if link.is_some_and(|link| link.user == *user) {
            self.replace(claim.link);
        }
        self.act(Action::Fenced(from, claim));
    }
}
