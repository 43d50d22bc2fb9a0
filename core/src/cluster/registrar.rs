//! Takes to the registry what the machine has for it, and keeps this node registered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::inbox::Inbox;
use super::machine::{Event, FromRegistry, Time};
use super::registry::{
    Boot, BootError, Incarnation, Load, NodeRecord, NodeState, Registered, Registry,
};
use crate::edges::directory::Life;

/// Between attempts to begin a life.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps a node registered.
pub(super) struct Registrar {
    registry: Arc<dyn Registry>,
    inbox: Arc<Inbox>,
    boot: Boot,
    lease: Duration,
    /// What the node says of itself now.
    record: NodeRecord,
    registration: Option<Registration>,
    /// The life that is to begin.
    booting: Option<AbortOnDropHandle<()>>,
}

/// A registration at work.
struct Registration {
    written: watch::Sender<Arc<NodeRecord>>,
    told: mpsc::Receiver<Registered>,
    /// What was given to be written and does not stand yet, by the machine's numbers.
    asked: VecDeque<(u64, Arc<NodeRecord>)>,
}

impl Registrar {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        inbox: &Arc<Inbox>,
        (boot, lease): (Boot, Duration),
        record: NodeRecord,
    ) -> Self {
        Self {
            registry,
            inbox: Arc::clone(inbox),
            boot,
            lease,
            record,
            registration: None,
            booting: None,
        }
    }

    /// Begins a life, and goes on trying; or learns that another process has this node's id.
    pub(super) fn boot(&mut self, over: Option<Incarnation>) {
        self.registration = None;
        let (registry, inbox) = (Arc::clone(&self.registry), Arc::clone(&self.inbox));
        let boot = self.boot.clone();
        let booting = async move {
            let event = loop {
                match registry.boot(&boot.node, &boot, over).await {
                    Ok(life) => break FromRegistry::Booted(life),
                    Err(BootError::Taken(life, _)) => break FromRegistry::Taken(life),
                    Err(BootError::Registry(_)) => sleep(PAUSE).await,
                }
            };
            inbox.tell(Event::Registry(event));
        };
        self.booting = Some(AbortOnDropHandle::new(tokio::spawn(booting)));
    }

    /// Has it written that all links stand in these lives of shards.
    pub(super) fn register(&mut self, number: u64, life: Incarnation, lives: BTreeSet<Life>) {
        let is_new = self.record.incarnation.replace(life) != Some(life);
        self.record.lives = lives;
        let record = Arc::new(self.record.clone());
        match &mut self.registration {
            Some(registration) if !is_new => {
                registration.asked.push_back((number, Arc::clone(&record)));
                registration.written.send_replace(record);
            }
            registration => {
                let (written, read) = watch::channel(Arc::clone(&record));
                let told = self.registry.register(life, self.lease, read);
                let asked = VecDeque::from([(number, record)]);
                *registration = Some(Registration {
                    written,
                    told,
                    asked,
                });
            }
        }
    }

    /// What the node carries and does, if that is worth telling: by a hundredth more or less, or it was told long ago.
    pub(super) fn says(&mut self, load: Load, state: NodeState, generation: u64, is_due: bool) {
        let before = &self.record;
        let moved = |now: u64, before: u64| now.abs_diff(before) * 100 > before;
        let is_news = moved(load.links, before.load.links)
            || moved(load.pressure.into(), before.load.pressure.into())
            || (state, generation) != (before.state, before.generation);
        if !is_news && !is_due {
            return;
        }
        (self.record.load, self.record.state) = (load, state);
        self.record.generation = generation;
        if let Some(registration) = &mut self.registration {
            let record = Arc::new(self.record.clone());
            if let Some((number, _)) = registration.asked.back() {
                registration.asked.push_back((*number, Arc::clone(&record)));
            }
            registration.written.send_replace(record);
        }
    }

    /// What the registration has come to. Nothing is lost when this is dropped.
    pub(super) async fn registered(&mut self) -> Option<Registered> {
        match &mut self.registration {
            Some(registration) => registration.told.recv().await,
            None => std::future::pending().await,
        }
    }

    /// What that means to the machine; its time begins at `zero` and counts the time that the machine has slept.
    pub(super) fn means(
        &mut self,
        registered: Option<Registered>,
        (zero, slept): (tokio::time::Instant, Duration),
    ) -> Option<FromRegistry> {
        match registered {
            Some(Registered::Stands(record)) => {
                let asked = &mut self.registration.as_mut()?.asked;
                let at = asked
                    .iter()
                    .rposition(|(_, asked)| Arc::ptr_eq(asked, &record));
                let number = at.and_then(|at| Some(asked.get(at)?.0));
                // The last one stays: later records say the same of lives until the machine says otherwise.
                asked.drain(..at.unwrap_or_default());
                number.map(FromRegistry::Stands)
            }
            Some(Registered::KeptAlive(asked)) => {
                // Of a sleep since then it is not known that it came after: the lease may stand for longer.
                let asked: Time = asked.saturating_duration_since(zero) + slept;
                Some(FromRegistry::KeptAlive(asked))
            }
            Some(Registered::Unknown(_)) => None,
            Some(Registered::Ended) | None => {
                self.registration = None;
                self.record.incarnation.map(FromRegistry::Ended)
            }
        }
    }

    /// Ends another node's life.
    pub(super) fn end(&self, node: Arc<str>, life: Incarnation) {
        let registry = Arc::clone(&self.registry);
        tokio::spawn(async move { registry.end(&node, life).await });
    }

    /// Asks how far the registry was written.
    pub(super) fn ask_newest(&self, number: u64) {
        let (registry, inbox) = (Arc::clone(&self.registry), Arc::clone(&self.inbox));
        tokio::spawn(async move {
            let newest = registry.newest().await.ok();
            inbox.tell(Event::Registry(FromRegistry::Newest(number, newest)));
        });
    }

    /// Reads what stands there.
    pub(super) fn read(&self, number: u64) {
        let (registry, inbox) = (Arc::clone(&self.registry), Arc::clone(&self.inbox));
        tokio::spawn(async move {
            let view = registry.read().await.ok();
            inbox.tell(Event::Registry(FromRegistry::Read(number, view)));
        });
    }

    /// Leaves: this node's life ends.
    pub(super) async fn leave(&mut self) {
        self.booting = None;
        self.registration = None;
        if let Some(life) = self.record.incarnation {
            let left = self.registry.leave(&self.boot.node, life).await;
            if let Err(error) = left {
                tracing::warn!(%error, "the node could not be taken out of the registry; others find out by themselves");
            }
        }
    }

    pub(super) fn record(&self) -> &NodeRecord {
        &self.record
    }
}
