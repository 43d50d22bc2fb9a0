//! What has to be as it was for a transaction of a push, and what to say if it was not.

use super::client::Etcd;
use super::error::PushError;
use super::plan::{MOST_OPERATIONS, Touched};
use super::snapshot::Snapshot;
use crate::edges::etcd::{Guard, Refusal};

/// What has to be as it was.
pub(super) struct Guards<'a> {
    pub(super) expected: &'a Snapshot,
    /// The revision of the last reading, or of our own last transaction.
    pub(super) revision: i64,
    /// The revision that wrote `pushing`; 0 if it is not there.
    pub(super) pushing: i64,
}

impl Etcd {
    pub(super) fn head_is(&self, revision: i64) -> Guard {
        let key = self.keys.head();
        Guard::WrittenBy { key, revision }
    }

    /// What has to be as it was: the head, the documents that are touched, and that no document was written since. As
    /// many others as there is room for must not have been removed either.
    pub(super) fn guards(&self, guards: &Guards<'_>, touched: &[Touched]) -> Vec<Guard> {
        let is = |key: String, revision| Guard::WrittenBy { key, revision };
        let mut all = vec![
            self.head_is(guards.expected.head_version()),
            is(self.keys.pushing(), guards.pushing),
            Guard::UnwrittenSince {
                folder: self.keys.documents(),
                revision: guards.revision,
            },
        ];
        let documents = touched.iter();
        all.extend(documents.map(|one| is(self.keys.document(&one.name), one.version)));
        // Later parts of a push find what earlier ones have written.
        if guards.revision == guards.expected.revision {
            let room = MOST_OPERATIONS.saturating_sub(all.len());
            let others = guards.expected.documents.iter();
            let others = others.filter(|(name, _)| touched.iter().all(|one| one.name != **name));
            let others = others.map(|(name, other)| is(self.keys.document(name), other.version));
            all.extend(others.take(room));
        }
        all
    }

    pub(super) async fn explain_refusal(&self, refusal: Refusal, expected: &Snapshot) -> PushError {
        match refusal {
            Refusal::Unknown(error) => PushError::Unknown { error },
            Refusal::Etcd(error) => error.into(),
            Refusal::Guard => match self.read().await {
                Ok(now) => changed_meanwhile(expected, &now),
                Err(_) => PushError::ChangedMeanwhile {
                    documents: Vec::new(),
                    head: None,
                },
            },
        }
    }
}

pub(super) fn changed_meanwhile(expected: &Snapshot, now: &Snapshot) -> PushError {
    let is_pushed = now.head_version() != expected.head_version();
    let head = now.head().filter(|_| is_pushed);
    PushError::ChangedMeanwhile {
        documents: now.changed_since(expected),
        head: head.map(|head| Box::new(head.clone())),
    }
}
