//! The registry, and the store with its one user.

use super::*;

impl Registry {
    pub(super) fn view(&self) -> Arc<View> {
        let boots = self.boots.iter().map(|(node, (revision, instance))| {
            let life = Incarnation {
                registry: REGISTRY,
                revision: *revision,
            };
            (
                life,
                Boot {
                    node: Arc::clone(node),
                    instance: Arc::clone(instance),
                },
            )
        });
        let nodes = self.nodes.iter().map(|(node, (_, incarnation, lives))| {
            let record = NodeRecord {
                id: Arc::clone(node),
                ip: String::new(),
                port: 0,
                weight: 1,
                location: String::new(),
                labels: Vec::new(),
                capacity: 0,
                load: Default::default(),
                incarnation: Some(*incarnation),
                peer: String::new(),
                public: String::new(),
                state: Default::default(),
                version: String::new(),
                schema: 1,
                generation: 1,
                lives: lives.clone(),
            };
            (Arc::clone(node), Arc::new(record))
        });
        Arc::new(View {
            mark: self.mark(self.revision),
            boots: boots.collect(),
            nodes: nodes.collect(),
        })
    }

    pub(super) fn mark(&self, revision: u64) -> Mark {
        Mark {
            registry: REGISTRY,
            boots: revision,
            nodes: revision,
        }
    }

    pub(super) fn newest(&self) -> Mark {
        let boots = self.boots.values().map(|(revision, _)| *revision);
        let newest = boots
            .chain(self.nodes.values().map(|(revision, ..)| *revision))
            .max();
        self.mark(newest.unwrap_or(0))
    }

    pub(super) fn lives(&self, life: Incarnation) -> bool {
        self.boots
            .values()
            .any(|(revision, _)| *revision == life.revision)
    }
}

impl Store {
    pub(super) fn run(&mut self, operation: &Operation) -> Record {
        let before = self.record.clone();
        let record = &mut self.record;
        let answer = match operation {
            Operation::Find(_) => return record.clone(),
            Operation::Claim(of) => {
                let epoch = match of.epoch {
                    Some(epoch) => epoch,
                    None => record.epoch + of.raise,
                };
                record.epoch = record.epoch.max(epoch);
                if !record.displaced.iter().any(|claim| claim.id == of.id) {
                    let known = record.claims.iter().position(|claim| claim.id == of.id);
                    let known = known.map(|at| record.claims.remove(at));
                    let epoch = known.map_or(epoch, |known| known.epoch.max(epoch));
                    record.claims.push(Claim {
                        id: of.id,
                        device: of.device.clone(),
                        epoch,
                        state: ClaimState::Online,
                    });
                    record.claims.sort_by_key(|claim| (claim.epoch, claim.id));
                    let same = |claim: &&Claim| claim.device == of.device;
                    let more = record.claims.iter().filter(same).count();
                    let more = more.saturating_sub(of.most as usize);
                    let gone = record.claims.iter().filter(same).take(more).cloned();
                    let gone: Vec<Claim> = gone.collect();
                    record.claims.retain(|claim| !gone.contains(claim));
                    record.displaced.extend(gone);
                }
                record.clone()
            }
            Operation::Release(_, id) => {
                record.claims.retain(|claim| claim.id != *id);
                record.displaced.retain(|claim| claim.id != *id);
                Record::default()
            }
            Operation::Park(_, id) => {
                let mut claims = record.claims.iter_mut();
                if let Some(claim) = claims.find(|claim| claim.id == *id) {
                    claim.state = ClaimState::Resumable;
                }
                Record::default()
            }
            Operation::Confirm(_, ids) => {
                record.displaced.retain(|claim| !ids.contains(&claim.id));
                Record::default()
            }
        };
        self.before = before;
        answer
    }
}
