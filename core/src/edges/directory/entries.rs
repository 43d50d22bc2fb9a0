//! What a directory in memory has of one user, and what each operation makes of it: what the scripts for Redis do.

use std::collections::BTreeMap;

use super::{
    Claim, ClaimId, ClaimOf, ClaimState, END_OF_NUMBERS, MOST_CLAIMS, MOST_DISPLACED, Record,
};

/// The entries of one user.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    epoch: u64,
    claims: BTreeMap<ClaimId, Claim>,
    displaced: BTreeMap<ClaimId, Claim>,
}

/// No further epoch can be counted.
#[derive(Debug)]
pub(super) struct OutOfEpochs;

impl Entries {
    pub(super) fn claim(&mut self, claim: &ClaimOf) -> Result<(), OutOfEpochs> {
        let epoch = claim.epoch.unwrap_or(self.epoch + claim.raise);
        if epoch >= END_OF_NUMBERS {
            return Err(OutOfEpochs);
        }
        self.epoch = self.epoch.max(epoch);
        if !self.displaced.contains_key(&claim.id) {
            let stands = self.claims.get(&claim.id);
            let epoch = stands.map_or(epoch, |stands| stands.epoch.max(epoch));
            let claim = Claim {
                id: claim.id,
                device: claim.device.clone(),
                epoch,
                state: ClaimState::Online,
            };
            self.claims.insert(claim.id, claim);
        }
        let of_device = self
            .claims
            .values()
            .filter(|other| other.device == claim.device);
        let beyond = least(of_device, claim.most.max(1) as usize);
        self.displace(&beyond);
        let beyond = least(self.claims.values(), MOST_CLAIMS);
        self.displace(&beyond);
        for id in least(self.displaced.values(), MOST_DISPLACED) {
            self.displaced.remove(&id);
        }
        Ok(())
    }

    pub(super) fn release(&mut self, id: &ClaimId) {
        self.claims.remove(id);
        self.displaced.remove(id);
    }

    pub(super) fn park(&mut self, id: &ClaimId) {
        if let Some(claim) = self.claims.get_mut(id) {
            claim.state = ClaimState::Resumable;
        }
    }

    pub(super) fn confirm(&mut self, ids: &[ClaimId]) {
        for id in ids {
            self.displaced.remove(id);
        }
    }

    pub(super) fn record(&self) -> Record {
        let mut record = Record {
            epoch: self.epoch,
            claims: self.claims.values().cloned().collect(),
            displaced: self.displaced.values().cloned().collect(),
            is_partial: false,
        };
        record.sort();
        record
    }

    fn displace(&mut self, ids: &[ClaimId]) {
        let gone = ids.iter().filter_map(|id| self.claims.remove_entry(id));
        self.displaced.extend(gone);
    }
}

/// The ones that are least in order, without the `most` highest.
fn least<'a>(claims: impl Iterator<Item = &'a Claim>, most: usize) -> Vec<ClaimId> {
    let mut order: Vec<_> = claims.map(Claim::order).collect();
    order.sort_unstable();
    order.truncate(order.len().saturating_sub(most));
    order.into_iter().map(|(_, id)| id).collect()
}
