//! What stands in the registry of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Boot, BootError, Mark, NodeRecord, RegistryError, View};
use crate::edges::directory::Incarnation;

/// What stands there.
#[derive(Clone)]
pub(super) struct State {
    registry: u64,
    revision: u64,
    boots: BTreeMap<Arc<str>, (u64, Boot)>,
    nodes: BTreeMap<Arc<str>, Said>,
    /// By their ids.
    leases: BTreeMap<u64, Lease>,
    granted: u64,
}

#[derive(Clone)]
struct Said {
    record: Arc<NodeRecord>,
    revision: u64,
    lease: u64,
}

#[derive(Clone, Copy)]
struct Lease {
    ends: Instant,
    lasts: Duration,
}

impl State {
    pub(super) fn new(registry: u64) -> Self {
        Self {
            registry,
            revision: 1,
            boots: BTreeMap::new(),
            nodes: BTreeMap::new(),
            leases: BTreeMap::new(),
            granted: 0,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    fn next(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    pub(super) fn restored(&mut self, registry: u64, now: Instant) {
        self.registry = registry;
        for lease in self.leases.values_mut() {
            lease.ends = now + lease.lasts;
        }
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.ends).min()
    }

    /// Ends the leases whose time is over, the earliest first.
    pub(super) fn expire(&mut self, now: Instant) {
        let over = self.leases.iter().filter(|(_, lease)| lease.ends <= now);
        let mut over: Vec<(Instant, u64)> = over.map(|(id, lease)| (lease.ends, *id)).collect();
        over.sort();
        for (_, id) in over {
            self.revoke(id);
        }
    }

    fn revoke(&mut self, id: u64) {
        self.leases.remove(&id);
        let before = self.nodes.len();
        self.nodes.retain(|_, said| said.lease != id);
        if self.nodes.len() != before {
            self.next();
        }
    }

    pub(super) fn view(&self) -> View {
        let boots = self.boots.values();
        let nodes = self.nodes.iter();
        View {
            mark: Mark {
                registry: self.registry,
                boots: self.revision,
                nodes: self.revision,
            },
            boots: boots
                .map(|(revision, boot)| (self.incarnation(*revision), boot.clone()))
                .collect(),
            nodes: nodes
                .map(|(node, said)| (Arc::clone(node), Arc::clone(&said.record)))
                .collect(),
        }
    }

    pub(super) fn newest(&self) -> Mark {
        let boots = self.boots.values().map(|(revision, _)| *revision);
        let nodes = self.nodes.values().map(|said| said.revision);
        Mark {
            registry: self.registry,
            boots: boots.max().unwrap_or_default(),
            nodes: nodes.max().unwrap_or_default(),
        }
    }

    fn incarnation(&self, revision: u64) -> Incarnation {
        let registry = self.registry;
        Incarnation { registry, revision }
    }

    fn is_life(&self, node: &str, incarnation: Incarnation) -> bool {
        let boot = self.boots.get(node);
        boot.is_some_and(|(revision, _)| self.incarnation(*revision) == incarnation)
    }

    pub(super) fn boot(
        &mut self,
        boot: Boot,
        over: Option<Incarnation>,
    ) -> Result<Incarnation, BootError> {
        if let Some((revision, standing)) = self.boots.get(&boot.node) {
            let life = self.incarnation(*revision);
            if Some(life) != over {
                return match standing.instance == boot.instance {
                    true => Ok(life),
                    false => Err(BootError::Taken(life, standing.clone())),
                };
            }
        }
        let revision = self.next();
        self.boots.insert(Arc::clone(&boot.node), (revision, boot));
        Ok(self.incarnation(revision))
    }

    fn is_registered(&self, node: &str, incarnation: Incarnation) -> bool {
        let said = self.nodes.get(node);
        said.is_some_and(|said| said.record.incarnation == Some(incarnation))
    }

    pub(super) fn end(&mut self, node: &str, incarnation: Incarnation) -> bool {
        if !self.is_life(node, incarnation) {
            return true;
        }
        if self.is_registered(node, incarnation) {
            return false;
        }
        self.boots.remove(node);
        self.next();
        true
    }

    pub(super) fn leave(&mut self, node: &str, incarnation: Incarnation) {
        if !self.is_life(node, incarnation) {
            return;
        }
        self.boots.remove(node);
        if self.is_registered(node, incarnation)
            && let Some(said) = self.nodes.remove(node)
        {
            self.leases.remove(&said.lease);
        }
        self.next();
    }

    pub(super) fn grant(&mut self, lasts: Duration, now: Instant) -> u64 {
        self.granted += 1;
        let ends = now + lasts;
        self.leases.insert(self.granted, Lease { ends, lasts });
        self.granted
    }

    /// A registry that was restored has broken with all who kept a lease alive.
    pub(super) fn prolong(
        &mut self,
        registry: u64,
        lease: u64,
        now: Instant,
    ) -> Result<(), RegistryError> {
        let lease = self.leases.get_mut(&lease);
        let lease = lease.filter(|_| registry == self.registry);
        let lease = lease.ok_or_else(ended)?;
        lease.ends = now + lease.lasts;
        Ok(())
    }

    /// `false` if the life has ended.
    pub(super) fn write(
        &mut self,
        node: &str,
        incarnation: Incarnation,
        record: Arc<NodeRecord>,
        lease: u64,
    ) -> Result<bool, RegistryError> {
        if !self.is_life(node, incarnation) {
            return Ok(false);
        }
        if !self.leases.contains_key(&lease) {
            return Err(ended());
        }
        let said = Said {
            record,
            revision: self.next(),
            lease,
        };
        self.nodes.insert(node.into(), said);
        Ok(true)
    }
}

fn ended() -> RegistryError {
    RegistryError("the lease has ended".to_owned())
}
