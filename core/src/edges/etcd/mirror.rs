//! What is known of a range of keys while it is followed. No connection stands here, so that its rules can be tested.

use std::collections::BTreeMap;

use super::read::{Listing, Origin};

/// What is known of a range: all of it up to one revision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mirror<V> {
    origin: Origin,
    revision: i64,
    entries: BTreeMap<String, Entry<V>>,
    bytes: usize,
}

/// What a key says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<V> {
    /// What its value means.
    pub(crate) value: V,
    /// The revision that wrote it last.
    pub(crate) version: i64,
    /// The size of its value.
    bytes: usize,
}

/// What happened to a key.
pub(crate) struct Change<V> {
    pub(crate) key: String,
    /// What it says now, and the size of that; nothing if it was removed, or says nothing that is followed.
    pub(crate) value: Option<(V, usize)>,
    pub(crate) revision: i64,
}

impl<V: PartialEq> Mirror<V> {
    /// What was read. Keys that `read` makes nothing of are left out.
    pub(crate) fn new(listing: &Listing, read: impl Fn(&str, &[u8]) -> Option<V>) -> Self {
        let mut mirror = Self {
            origin: listing.origin,
            revision: listing.origin.revision,
            entries: BTreeMap::new(),
            bytes: 0,
        };
        for entry in &listing.entries {
            let Ok(key) = std::str::from_utf8(entry.key()) else {
                continue;
            };
            if let Some(value) = read(key, entry.value()) {
                let value = Some((value, entry.value().len()));
                mirror.set(key.to_owned(), value, entry.mod_revision());
            }
        }
        mirror
    }

    /// All is known up to here.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Which state of which cluster that was.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// What is there, by key.
    pub(crate) fn entries(&self) -> &BTreeMap<String, Entry<V>> {
        &self.entries
    }

    /// The bytes of all values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn set(&mut self, key: String, value: Option<(V, usize)>, version: i64) {
        let before = match value {
            Some((value, bytes)) => {
                self.bytes += bytes;
                let entry = Entry {
                    value,
                    version,
                    bytes,
                };
                self.entries.insert(key, entry)
            }
            None => self.entries.remove(&key),
        };
        self.bytes -= before.map_or(0, |before| before.bytes);
    }

    /// Applies changes in the order of their revisions; says whether there were any. What is known already, because a change
    /// comes late or twice, changes nothing.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change<V>>) -> bool {
        let known = self.revision;
        let mut last = known;
        let mut is_change = false;
        for change in changes {
            if change.revision > known {
                last = last.max(change.revision);
                is_change = true;
                self.set(change.key, change.value, change.revision);
            }
        }
        self.progress(last);
        is_change
    }

    /// Nothing else has happened up to this revision.
    pub(super) fn progress(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
        self.origin.revision = self.origin.revision.max(self.revision);
    }

    /// Whether an answer casts doubt on what is known. If not, it is what later ones are held against.
    pub(super) fn doubts(&mut self, answer: Origin) -> bool {
        let is_doubtful = self.origin.is_doubtful(&answer);
        if !is_doubtful {
            self.origin.term = answer.term;
        }
        is_doubtful
    }

    /// The keys that are not as they should be, given what was read at a later or earlier revision. Of what has changed since
    /// that reading it says nothing, and a change that is still on its way counts.
    pub(super) fn differences(&self, read: &Self) -> Vec<String> {
        let contradicts = |own: &Entry<V>, same: bool| own.version <= read.revision && !same;
        let mut keys: Vec<&String> = self.entries.keys().chain(read.entries.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.retain(
            |key| match (self.entries.get(*key), read.entries.get(*key)) {
                (Some(one), Some(other)) => contradicts(
                    one,
                    one.version == other.version && one.value == other.value,
                ),
                (Some(one), None) => contradicts(one, false),
                // It may have been removed since.
                (None, Some(_)) => self.revision <= read.revision,
                (None, None) => false,
            },
        );
        keys.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
