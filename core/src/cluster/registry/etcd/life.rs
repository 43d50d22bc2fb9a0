//! Beginning and ending lives. Each operation looks what stands there, tries the step that is missing, and looks again, so
//! that a step without an answer leaves no doubt. What a step found is its guard: one that comes late is not taken.

use etcd_client::KeyValue;

use super::super::{Boot, BootError, NodeRecord, RegistryError};
use super::keys::boot_value;
use super::{Etcd, unsigned};
use crate::edges::directory::Incarnation;
use crate::edges::etcd::{EtcdError, Guard, Refusal, Step};

/// Others may be in the way so often.
const ATTEMPTS: u32 = 5;

/// What stands of a node.
pub(super) struct Standing {
    /// Its life.
    pub(super) life: Option<(Incarnation, Boot)>,
    /// What it says, if it is registered.
    pub(super) node: Option<Said>,
}

/// What a node says of itself.
pub(super) struct Said {
    revision: i64,
    lease: i64,
    /// Nothing if it cannot be read.
    record: Option<NodeRecord>,
}

/// What a look leads to.
enum Next<T> {
    Done(T),
    /// These steps, if what was seen still stands.
    Try(Vec<Step>, Vec<Guard>),
}

impl Standing {
    pub(super) fn is_life(&self, incarnation: Incarnation) -> bool {
        self.life
            .as_ref()
            .is_some_and(|(life, _)| *life == incarnation)
    }

    /// The revision that wrote what the node says; 0 if it says nothing.
    pub(super) fn node_revision(&self) -> i64 {
        self.node.as_ref().map_or(0, |said| said.revision)
    }
}

impl Etcd {
    pub(super) async fn look(&self, node: &str) -> Result<Standing, EtcdError> {
        let (boot, said) = (self.keys.boot(node), self.keys.node(node));
        let (origin, mut found) = self.connection.keys(&[&boot, &said]).await?;
        let mut take = |place: usize| found.get_mut(place).and_then(Option::take);
        let registry = origin.cluster;
        let life = take(0).and_then(|entry| {
            let revision = unsigned(entry.mod_revision());
            let boot = self.keys.read_boot(&boot, entry.value())?;
            Some((Incarnation { registry, revision }, boot))
        });
        let said = take(1).map(|entry: KeyValue| Said {
            revision: entry.mod_revision(),
            lease: entry.lease(),
            record: NodeRecord::from_json(node, entry.value()).ok(),
        });
        Ok(Standing { life, node: said })
    }

    pub(super) fn is_life(&self, node: &str, incarnation: Incarnation) -> Guard {
        Guard::WrittenBy {
            key: self.keys.boot(node),
            revision: signed(incarnation.revision),
        }
    }

    pub(super) fn is_said(&self, node: &str, revision: i64) -> Guard {
        let key = self.keys.node(node);
        Guard::WrittenBy { key, revision }
    }

    /// Looks and tries until a look says that it is done.
    async fn settle<T>(
        &self,
        node: &str,
        mut decide: impl FnMut(&Standing) -> Next<T>,
    ) -> Result<T, RegistryError> {
        let mut why = None;
        for _ in 0..ATTEMPTS {
            match decide(&self.look(node).await?) {
                Next::Done(done) => return Ok(done),
                Next::Try(steps, guards) => match self.connection.transact(&guards, &steps).await {
                    Ok(_) | Err(Refusal::Guard) => {}
                    Err(Refusal::Unknown(error)) => why = Some(error),
                    Err(Refusal::Etcd(error)) => return Err(error.into()),
                },
            }
        }
        let why = why.map_or_else(|| self.in_the_way(node), |error| error.to_string());
        Err(RegistryError(why))
    }

    pub(super) fn in_the_way(&self, node: &str) -> String {
        format!(
            "somebody else writes {} and {} again and again; give each node an id of its own",
            self.keys.boot(node),
            self.keys.node(node)
        )
    }

    pub(super) async fn boot(
        &self,
        node: &str,
        instance: &str,
        over: Option<Incarnation>,
    ) -> Result<Incarnation, BootError> {
        let decide = |standing: &Standing| {
            let revision = match &standing.life {
                Some((life, _)) if Some(*life) == over => life.revision,
                Some((life, boot)) if *boot.instance == *instance => return Next::Done(Ok(*life)),
                Some((life, boot)) => {
                    return Next::Done(Err(BootError::Taken(*life, boot.clone())));
                }
                None => 0,
            };
            let (key, revision) = (self.keys.boot(node), signed(revision));
            let step = Step::Put {
                key: key.clone(),
                value: boot_value(instance),
            };
            Next::Try(vec![step], vec![Guard::WrittenBy { key, revision }])
        };
        self.settle(node, decide).await?
    }

    pub(super) async fn end(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> Result<bool, RegistryError> {
        let decide = |standing: &Standing| {
            if !standing.is_life(incarnation) {
                return Next::Done(true);
            }
            // What cannot be read may be of this life.
            let may_be_of_it = |said: &Said| {
                let record = said.record.as_ref();
                record.is_none_or(|record| record.incarnation == Some(incarnation))
            };
            if standing.node.as_ref().is_some_and(may_be_of_it) {
                return Next::Done(false);
            }
            let key = self.keys.boot(node);
            let guards = vec![
                self.is_life(node, incarnation),
                self.is_said(node, standing.node_revision()),
            ];
            Next::Try(vec![Step::Delete { key }], guards)
        };
        self.settle(node, decide).await
    }

    pub(super) async fn leave(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> Result<(), RegistryError> {
        let mut lease = 0;
        let decide = |standing: &Standing| {
            if !standing.is_life(incarnation) {
                return Next::Done(());
            }
            let mut steps = vec![Step::Delete {
                key: self.keys.boot(node),
            }];
            let own = standing.node.as_ref().filter(|said| {
                let record = said.record.as_ref();
                record.is_some_and(|record| record.incarnation == Some(incarnation))
            });
            if let Some(said) = own {
                lease = said.lease;
                let key = self.keys.node(node);
                steps.push(Step::Delete { key });
            }
            let guards = vec![
                self.is_life(node, incarnation),
                self.is_said(node, standing.node_revision()),
            ];
            Next::Try(steps, guards)
        };
        self.settle(node, decide).await?;
        if lease != 0 && !self.connection.revoke(lease).await {
            tracing::debug!(node, "the lease of this node is left to run out");
        }
        Ok(())
    }
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
