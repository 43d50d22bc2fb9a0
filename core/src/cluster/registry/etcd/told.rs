//! Two ranges that are followed, told as one view. etcd tells of each on its own, so that one may be ahead of the other:
//! the view's mark says how far each is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::super::{Boot, Mark, NodeRecord, Told, View};
use super::keys::Keys;
use super::unsigned;
use crate::edges::directory::Incarnation;
use crate::edges::etcd::{Follow, Mirror};

/// What a range holds, at a revision.
pub(super) struct Part<E> {
    registry: u64,
    revision: u64,
    entries: E,
}

/// The lives that stand.
pub(super) type Boots = Part<BTreeMap<Incarnation, Boot>>;
/// What nodes say.
pub(super) type Nodes = Part<BTreeMap<Arc<str>, Arc<NodeRecord>>>;

impl<E> Part<E> {
    fn of<V: PartialEq>(mirror: &Mirror<V>, entries: E) -> Self {
        Self {
            registry: mirror.origin().cluster,
            revision: unsigned(mirror.revision()),
            entries,
        }
    }
}

pub(super) fn boots(mirror: &Mirror<Boot>) -> Boots {
    let registry = mirror.origin().cluster;
    let life = |revision| Incarnation {
        registry,
        revision: unsigned(revision),
    };
    let entries = mirror.entries().values();
    let entries = entries.map(|entry| (life(entry.version), entry.value.clone()));
    Part::of(mirror, entries.collect())
}

pub(super) fn nodes(mirror: &Mirror<Arc<NodeRecord>>) -> Nodes {
    let records = mirror.entries().values().map(|entry| &entry.value);
    let entries = records.map(|record| (Arc::clone(&record.id), Arc::clone(record)));
    Part::of(mirror, entries.collect())
}

/// Nothing if they are of two registries: one of them is still to be read anew.
pub(super) fn join(boots: &Boots, nodes: &Nodes) -> Option<View> {
    (boots.registry == nodes.registry).then(|| View {
        mark: Mark {
            registry: boots.registry,
            boots: boots.revision,
            nodes: nodes.revision,
        },
        boots: boots.entries.clone(),
        nodes: nodes.entries.clone(),
    })
}

/// What is to be told next. What has not been told yet is replaced by what is newer.
#[derive(Default)]
pub(super) struct Joined {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Default)]
struct Known {
    boots: Followed<Boots>,
    nodes: Followed<Nodes>,
    /// The view has not been told.
    is_new: bool,
    /// Whether etcd answers, if that has not been told.
    word: Option<Told>,
}

struct Followed<P> {
    part: Option<P>,
    is_lost: bool,
}

impl<P> Default for Followed<P> {
    fn default() -> Self {
        let (part, is_lost) = (None, false);
        Self { part, is_lost }
    }
}

impl Known {
    fn answers(&mut self) {
        if !self.boots.is_lost && !self.nodes.is_lost {
            self.word = Some(Told::Answers);
        }
    }

    fn take(&mut self) -> Option<Told> {
        if std::mem::take(&mut self.is_new)
            && let (Some(boots), Some(nodes)) = (&self.boots.part, &self.nodes.part)
            && let Some(view) = join(boots, nodes)
        {
            return Some(Told::View(Arc::new(view)));
        }
        self.word.take()
    }
}

impl Joined {
    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock());
        self.changed.notify_one();
    }

    /// Tells what there is to tell, until nobody listens.
    pub(super) async fn tell(&self, told: &mpsc::Sender<Told>) {
        while let Ok(permit) = told.reserve().await {
            let next = loop {
                let changed = self.changed.notified();
                let next = self.known.lock().take();
                match next {
                    Some(next) => break next,
                    None => changed.await,
                }
            };
            permit.send(next);
        }
    }
}

/// Follows `boots/`.
pub(super) struct FollowsBoots<'a> {
    pub(super) keys: &'a Keys,
    pub(super) joined: &'a Joined,
}

impl Follow for FollowsBoots<'_> {
    type Value = Boot;

    fn read(&self, key: &str, value: &[u8]) -> Option<Boot> {
        self.keys.read_boot(key, value)
    }

    fn knows(&self, mirror: &Mirror<Boot>) {
        let part = boots(mirror);
        self.joined.change(|known| {
            known.boots.part = Some(part);
            known.is_new = true;
        });
    }

    fn follows(&self) {
        self.joined.change(|known| {
            known.boots.is_lost = false;
            known.answers();
        });
    }

    fn lost(&self, why: String) {
        self.joined.change(|known| {
            known.boots.is_lost = true;
            known.word = Some(Told::Silent(why));
        });
    }
}

/// Follows what nodes say of themselves.
pub(super) struct FollowsNodes<'a> {
    pub(super) keys: &'a Keys,
    pub(super) joined: &'a Joined,
}

impl Follow for FollowsNodes<'_> {
    type Value = Arc<NodeRecord>;

    fn read(&self, key: &str, value: &[u8]) -> Option<Arc<NodeRecord>> {
        self.keys.read_node(key, value)
    }

    fn knows(&self, mirror: &Mirror<Arc<NodeRecord>>) {
        let part = nodes(mirror);
        self.joined.change(|known| {
            known.nodes.part = Some(part);
            known.is_new = true;
        });
    }

    fn follows(&self) {
        self.joined.change(|known| {
            known.nodes.is_lost = false;
            known.answers();
        });
    }

    fn lost(&self, why: String) {
        self.joined.change(|known| {
            known.nodes.is_lost = true;
            known.word = Some(Told::Silent(why));
        });
    }
}
