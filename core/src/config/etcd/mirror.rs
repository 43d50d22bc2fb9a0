//! What is known of the documents while they are followed. No connection stands here, so that its rules can be tested.

use std::sync::Arc;

use super::read::Origin;
use super::snapshot::{Document, Snapshot, VersionedHead, is_same};

/// What is known: all of it up to one revision.
pub(super) struct Mirror {
    /// Up to date, touches included.
    current: Snapshot,
    origin: Origin,
    /// What others were told last.
    told: Arc<Snapshot>,
}

/// What happened to a key. Without bytes it was removed.
pub(super) enum Change<'a> {
    Document {
        name: String,
        bytes: Option<&'a [u8]>,
        revision: i64,
    },
    Head {
        bytes: Option<&'a [u8]>,
        revision: i64,
    },
}

impl Mirror {
    pub(super) fn new(snapshot: Snapshot, origin: Origin) -> Self {
        Self {
            current: snapshot.clone(),
            origin,
            told: Arc::new(snapshot),
        }
    }

    /// All is known up to here.
    pub(super) fn revision(&self) -> i64 {
        self.current.revision
    }

    /// What others are to know. It stays the same value as long as texts and head are the same.
    pub(super) fn told(&self) -> &Arc<Snapshot> {
        &self.told
    }

    /// Takes what was read anew for the truth, whatever was known.
    pub(super) fn replace(&mut self, snapshot: Snapshot, origin: Origin) {
        self.current = snapshot;
        self.origin = origin;
        self.tell();
    }

    /// Applies changes in the order of their revisions. What is known already, because a change comes late or twice,
    /// changes nothing.
    pub(super) fn apply<'a>(&mut self, changes: impl IntoIterator<Item = Change<'a>>) {
        let known = self.current.revision;
        let mut last = known;
        for change in changes {
            let revision = match &change {
                Change::Document { revision, .. } | Change::Head { revision, .. } => *revision,
            };
            if revision <= known {
                continue;
            }
            last = last.max(revision);
            match change {
                Change::Head { bytes, .. } => {
                    self.current.head = bytes.map(|bytes| VersionedHead::new(bytes, revision));
                }
                Change::Document {
                    name, bytes: None, ..
                } => {
                    self.current.documents.remove(&name);
                }
                Change::Document {
                    name,
                    bytes: Some(bytes),
                    ..
                } => {
                    let document = Document::new(bytes, revision);
                    self.current.documents.insert(name, document);
                }
            }
        }
        self.progress(last);
        self.tell();
    }

    /// Nothing else has happened up to this revision.
    pub(super) fn progress(&mut self, revision: i64) {
        self.current.revision = self.current.revision.max(revision);
        self.origin.revision = self.origin.revision.max(self.current.revision);
    }

    /// Whether an answer casts doubt on what is known. If not, it is what later ones are held against.
    pub(super) fn doubts(&mut self, answer: Origin) -> bool {
        let is_doubtful = self.origin.is_doubtful(&answer);
        if !is_doubtful {
            self.origin.term = answer.term;
        }
        is_doubtful
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.current.is_too_much()
    }

    /// What is not as it should be, given what was read at a later or earlier revision: names of documents, or `head`.
    /// Of what has changed since that reading it says nothing, and a change that is still on its way counts.
    pub(super) fn differences(&self, read: &Snapshot) -> Vec<String> {
        let contradicts = |own: i64, theirs: i64, same: bool| {
            let is_newer = own > read.revision;
            !is_newer && (own != theirs || !same)
        };
        let (own, theirs) = (&self.current.documents, &read.documents);
        let mut names: Vec<&String> = own.keys().chain(theirs.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| match (own.get(*name), theirs.get(*name)) {
            (Some(one), Some(other)) => {
                let same = is_same(&one.content, &other.content);
                contradicts(one.version, other.version, same)
            }
            (Some(one), None) => contradicts(one.version, 0, false),
            // It may have been removed since.
            (None, Some(_)) => self.current.revision <= read.revision,
            (None, None) => false,
        });
        let mut differences: Vec<String> = names.into_iter().cloned().collect();
        let is_equal = match (&self.current.head, &read.head) {
            (Some(one), Some(other)) => {
                !contradicts(one.version, other.version, one.head == other.head)
            }
            (Some(one), None) => !contradicts(one.version, 0, false),
            (None, Some(_)) => self.current.revision > read.revision,
            (None, None) => true,
        };
        if !is_equal {
            differences.push("head".to_owned());
        }
        differences
    }

    fn tell(&mut self) {
        if !self.told.is_same(&self.current) {
            self.told = Arc::new(self.current.clone());
        }
    }
}

#[cfg(test)]
mod tests;
