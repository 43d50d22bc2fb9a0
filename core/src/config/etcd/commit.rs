//! One transaction of a push: what has to be as it was, and whether it took place.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::client::{Etcd, kv, revision};
use super::error::{EtcdError, PushError};
use super::plan::{MOST_OPERATIONS, Step, Touched};
use super::snapshot::Snapshot;

/// Why a transaction did not take place.
pub(super) enum Refusal {
    /// Somebody else was quicker.
    Guard,
    /// It may have.
    Unknown(EtcdError),
    Etcd(EtcdError),
}

/// What has to be as it was.
pub(super) struct Guards<'a> {
    pub(super) expected: &'a Snapshot,
    /// The revision of the last reading, or of our own last transaction.
    pub(super) revision: i64,
    /// The revision that wrote `pushing`; 0 if it is not there.
    pub(super) pushing: i64,
}

impl Etcd {
    pub(super) fn head_is(&self, expected: &Snapshot) -> Compare {
        Compare::mod_revision(self.keys.head(), CompareOp::Equal, expected.head_version())
    }

    /// What has to be as it was: the head, the documents that are touched, and that no document was written since. As
    /// many others as there is room for must not have been removed either.
    pub(super) fn guards(&self, guards: &Guards<'_>, touched: &[Touched]) -> Vec<Compare> {
        let is = |key: String, version| Compare::mod_revision(key, CompareOp::Equal, version);
        let unwritten = Compare::mod_revision(
            self.keys.documents(),
            CompareOp::Less,
            guards.revision.saturating_add(1),
        );
        let mut compares = vec![
            self.head_is(guards.expected),
            is(self.keys.pushing(), guards.pushing),
            unwritten.with_prefix(),
        ];
        let documents = touched.iter();
        compares.extend(documents.map(|one| is(self.keys.document(&one.name), one.version)));
        // Later parts of a push find what earlier ones have written.
        if guards.revision == guards.expected.revision {
            let room = MOST_OPERATIONS.saturating_sub(compares.len());
            let others = guards.expected.documents.iter();
            let others = others.filter(|(name, _)| touched.iter().all(|one| one.name != **name));
            let others = others.map(|(name, other)| is(self.keys.document(name), other.version));
            compares.extend(others.take(room));
        }
        compares
    }

    /// Does all steps if the comparisons hold, and says at which revision. The first of `marks` tells whether a transaction
    /// without an answer took place; without any, nobody needs to know.
    pub(super) async fn commit(
        &self,
        compares: Vec<Compare>,
        steps: &[Step],
        marks: &[Step],
    ) -> Result<i64, Refusal> {
        let operations: Vec<TxnOp> = steps
            .iter()
            .map(|step| match step {
                Step::Put { key, value } => TxnOp::put(key.as_str(), value.as_str(), None),
                Step::Delete { key } => TxnOp::delete(key.as_str(), None),
            })
            .collect();
        let txn = Txn::new().when(compares).and_then(operations);
        let call = |client| {
            let txn = txn.clone();
            async move { kv(&client).txn(txn).await }
        };
        let mut is_doubtful = false;
        let refusal = match self.connection.call_once_more(call, &mut is_doubtful).await {
            Ok(answer) if answer.succeeded() => return Ok(revision(&answer)),
            Ok(_) => Refusal::Guard,
            Err(failure) => {
                let error = self.connection.explain(failure);
                if is_doubtful {
                    Refusal::Unknown(error)
                } else {
                    Refusal::Etcd(error)
                }
            }
        };
        // An earlier attempt may have been taken, which the later one then finds in its way.
        if is_doubtful
            && let Some(Step::Put { key, value }) = marks.first()
            && let Ok(Some((found, version))) = self.get(key).await
            && found == value.as_bytes()
        {
            return Ok(version);
        }
        Err(refusal)
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
