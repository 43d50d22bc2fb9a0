//! What a push writes, and in how many transactions. No connection stands here.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::Keys;
use super::snapshot::{Head, Snapshot, hash};
use crate::edges::etcd::Step;

/// What etcd takes in one transaction, less some room. `--max-txn-ops` and `--max-request-bytes` raise it there, but not
/// here: a push has to fit any etcd.
pub(super) const MOST_OPERATIONS: usize = 120;
pub(super) const MOST_BYTES: usize = 1_400_000;
/// What an operation or a comparison weighs beside its key and its value.
const OVERHEAD: usize = 64;
/// How many generations are kept.
pub(super) const KEPT: usize = 10;

/// A document that is written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) name: String,
    /// The revision that wrote it, as far as the pusher knows; 0 if it was not there.
    pub(super) version: i64,
    pub(super) step: Step,
}

/// What a push writes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Texts for the history.
    pub(super) blobs: Vec<Step>,
    /// In order: first what others may need, last what is removed.
    pub(super) documents: Vec<Touched>,
    /// Head and history.
    pub(super) head: Vec<Step>,
    /// What the history does not need any more.
    pub(super) prune: Vec<Step>,
}

/// What there is besides the documents.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) history: Vec<Head>,
    /// The generations whose keys are there, readable or not.
    pub(super) generations: BTreeSet<u64>,
    pub(super) blobs: BTreeSet<String>,
}

impl Step {
    pub(super) fn weight(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Put { key, value } | Self::PutUnder { key, value, .. } => {
                    key.len() + value.len()
                }
                Self::Delete { key } => key.len(),
            }
    }
}

impl Touched {
    pub(super) fn is_removed(&self) -> bool {
        matches!(self.step, Step::Delete { .. })
    }

    /// With the comparison that guards it.
    fn weight(&self) -> usize {
        self.step.weight() + OVERHEAD + self.name.len() * 2
    }
}

impl Past {
    /// The next generation. It follows on the history even if somebody has removed the head.
    pub(super) fn next_generation(&self, snapshot: &Snapshot) -> u64 {
        let last = self.generations.last().copied().unwrap_or_default();
        snapshot.head().map_or(0, |head| head.generation).max(last) + 1
    }
}

impl Plan {
    pub(super) fn new(
        keys: &Keys,
        past: &Past,
        snapshot: &Snapshot,
        documents: &BTreeMap<String, String>,
        first: &[String],
        head: &Head,
    ) -> Self {
        let put = |key: String, value: &str| Step::Put {
            key,
            value: value.to_owned(),
        };
        let text = serde_json::json!(head).to_string();
        let mut plan = Self {
            documents: touched(keys, snapshot, documents, first),
            head: vec![
                put(keys.head(), &text),
                put(keys.generation(head.generation), &text),
            ],
            ..Self::default()
        };
        let mut wanted: BTreeSet<&String> = BTreeSet::new();
        for (name, hash) in &head.documents {
            if wanted.insert(hash)
                && !past.blobs.contains(hash)
                && let Some(text) = documents.get(name)
            {
                plan.blobs.push(put(keys.blob(hash), text));
            }
        }
        let mut generations: Vec<u64> = past.generations.iter().copied().collect();
        generations.sort_unstable_by_key(|generation| std::cmp::Reverse(*generation));
        let kept: BTreeSet<u64> = generations.iter().copied().take(KEPT - 1).collect();
        let heads = past.history.iter();
        let heads = heads.filter(|head| kept.contains(&head.generation));
        wanted.extend(heads.flat_map(|head| head.documents.values()));
        let old = generations
            .iter()
            .filter(|generation| !kept.contains(generation));
        plan.prune.extend(old.map(|generation| Step::Delete {
            key: keys.generation(*generation),
        }));
        let unused = past.blobs.iter().filter(|hash| !wanted.contains(hash));
        plan.prune.extend(unused.map(|hash| Step::Delete {
            key: keys.blob(hash),
        }));
        plan
    }

    /// Whether all but the pruning goes into one transaction.
    pub(super) fn fits(&self) -> bool {
        let steps = || self.blobs.iter().chain(&self.head);
        let weight: usize = steps().map(Step::weight).sum();
        let documents: usize = self.documents.iter().map(Touched::weight).sum();
        steps().count() + self.documents.len() <= MOST_OPERATIONS
            && weight + documents <= MOST_BYTES
    }

    /// Takes what still goes into the same transaction off the pruning.
    pub(super) fn take_prune(&mut self, operations: usize) -> Vec<Step> {
        let room = MOST_OPERATIONS.saturating_sub(operations);
        self.prune.drain(..room.min(self.prune.len())).collect()
    }

    /// The documents in as many parts as they need.
    pub(super) fn parts(documents: Vec<Touched>) -> Vec<Vec<Touched>> {
        parts(documents, Touched::weight)
    }
}

/// Steps in as many transactions as they need.
pub(super) fn transactions(steps: Vec<Step>) -> Vec<Vec<Step>> {
    parts(steps, Step::weight)
}

fn parts<T>(all: Vec<T>, weight: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut filled = 0;
    for one in all {
        let more = weight(&one);
        match parts.last_mut() {
            Some(part) if part.len() < MOST_OPERATIONS && filled + more <= MOST_BYTES => {
                filled += more;
                part.push(one);
            }
            _ => {
                filled = more;
                parts.push(vec![one]);
            }
        }
    }
    parts
}

/// The documents that differ: those named first, in that order, then the others by name, then those that are removed.
fn touched(
    keys: &Keys,
    snapshot: &Snapshot,
    documents: &BTreeMap<String, String>,
    first: &[String],
) -> Vec<Touched> {
    let mut seen = BTreeSet::new();
    let mut order: Vec<&String> = Vec::new();
    let named = first.iter().filter(|name| documents.contains_key(*name));
    for name in named.chain(documents.keys()) {
        if seen.insert(name) {
            order.push(name);
        }
    }
    let mut touched = Vec::new();
    for name in order {
        let before = snapshot.documents.get(name);
        let Some(text) = documents.get(name) else {
            continue;
        };
        if before.and_then(|document| document.text()) == Some(text) {
            continue;
        }
        touched.push(Touched {
            name: name.clone(),
            version: before.map_or(0, |document| document.version),
            step: Step::Put {
                key: keys.document(name),
                value: text.clone(),
            },
        });
    }
    let gone = snapshot.documents.iter();
    let gone = gone.filter(|(name, _)| !documents.contains_key(*name));
    touched.extend(gone.map(|(name, document)| Touched {
        name: name.clone(),
        version: document.version,
        step: Step::Delete {
            key: keys.document(name),
        },
    }));
    touched
}

/// The SHA-256 of each text.
pub(super) fn hashes(documents: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let texts = documents.iter();
    texts
        .map(|(name, text)| (name.clone(), hash(text)))
        .collect()
}

#[cfg(test)]
mod tests;
