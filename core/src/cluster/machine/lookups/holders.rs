//! Who has links of a user, by a record of the directory.

use std::collections::BTreeMap;

use crate::cluster::machine::Machine;
use crate::cluster::machine::event::{Holder, Need, Verdict, Why};
use crate::cluster::machine::members::Standing;
use crate::edges::directory::{
    Claim, ClaimId, ClaimState, Incarnation, Operation, Record, Shard, User,
};

impl Machine {
    /// Tells of the links that a record has. Says whether somebody needs to know more, and may.
    pub(super) fn tells_of(&mut self, user: &User, record: &Record) -> bool {
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

    /// The nodes that hold links by a record. Claims whose links or nodes are no more are taken out of the directory.
    pub(super) fn holders(&mut self, user: &User, record: &Record) -> Vec<Holder> {
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

    pub(super) fn release(&mut self, user: &User, claim: ClaimId) {
        if let Some(lookup) = self.lookups.users.get(user) {
            let shard = lookup.shard;
            self.shards
                .errand(shard, Operation::Release(user.clone(), claim));
        }
    }

    /// Somebody was sent here for a link that this node may not have.
    pub(in crate::cluster::machine) fn was_not_here(
        &mut self,
        user: User,
        shard: Shard,
        claim: ClaimId,
    ) {
        let is_own = self.members.own() == Some(claim.incarnation);
        if is_own && self.links.get(claim.link).is_none() {
            self.shards.errand(shard, Operation::Release(user, claim));
        }
    }
}
