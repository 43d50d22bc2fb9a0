//! Transactions: steps that are all taken at once, if everything is as it has to be.

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::connection::{Connection, kv};
use super::error::EtcdError;
use super::read::Origin;

/// What has to be so for a transaction to take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guard {
    /// This revision wrote the key last; with 0 the key is not there.
    WrittenBy { key: String, revision: i64 },
    /// No key that begins with `folder` was written after this revision.
    UnwrittenSince { folder: String, revision: i64 },
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Put {
        key: String,
        value: String,
    },
    /// The key goes when the lease ends.
    PutUnder {
        lease: i64,
        key: String,
        value: String,
    },
    Delete {
        key: String,
    },
}

/// Why a transaction did not take place.
pub(crate) enum Refusal {
    /// Somebody else was quicker.
    Guard,
    /// It may have.
    Unknown(EtcdError),
    Etcd(EtcdError),
}

impl From<&Guard> for Compare {
    fn from(guard: &Guard) -> Self {
        match guard {
            Guard::WrittenBy { key, revision } => {
                Self::mod_revision(key.as_str(), CompareOp::Equal, *revision)
            }
            Guard::UnwrittenSince { folder, revision } => {
                let next = revision.saturating_add(1);
                Self::mod_revision(folder.as_str(), CompareOp::Less, next).with_prefix()
            }
        }
    }
}

impl From<&Step> for TxnOp {
    fn from(step: &Step) -> Self {
        match step {
            Step::Put { key, value } => Self::put(key.as_str(), value.as_str(), None),
            Step::PutUnder { lease, key, value } => {
                let options = PutOptions::new().with_lease(*lease);
                Self::put(key.as_str(), value.as_str(), Some(options))
            }
            Step::Delete { key } => Self::delete(key.as_str(), None),
        }
    }
}

impl Connection {
    /// Takes all steps if the guards hold, and says at which revision. The first of `marks` tells whether a transaction
    /// without an answer took place; without any, nobody needs to know.
    pub(crate) async fn commit(
        &self,
        guards: &[Guard],
        steps: &[Step],
        marks: &[Step],
    ) -> Result<i64, Refusal> {
        let mut is_doubtful = false;
        let refusal = match self.attempt(guards, steps, &mut is_doubtful).await {
            Ok(origin) => return Ok(origin.revision),
            Err(refusal) => refusal,
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

    /// As [`commit`](Self::commit), for whoever looks what stands there after a refusal of any kind.
    pub(crate) async fn transact(
        &self,
        guards: &[Guard],
        steps: &[Step],
    ) -> Result<Origin, Refusal> {
        self.attempt(guards, steps, &mut false).await
    }

    /// `is_doubtful` is set when an attempt may have been taken without an answer.
    async fn attempt(
        &self,
        guards: &[Guard],
        steps: &[Step],
        is_doubtful: &mut bool,
    ) -> Result<Origin, Refusal> {
        let compares: Vec<Compare> = guards.iter().map(Compare::from).collect();
        let operations: Vec<TxnOp> = steps.iter().map(TxnOp::from).collect();
        let txn = Txn::new().when(compares).and_then(operations);
        let call = |client| {
            let txn = txn.clone();
            async move { kv(&client).txn(txn).await }
        };
        match self.call_once_more(call, is_doubtful).await {
            Ok(answer) if answer.succeeded() => Ok(Origin::of(answer.header())),
            Ok(_) => Err(Refusal::Guard),
            Err(failure) => {
                let error = self.explain(failure);
                Err(match *is_doubtful {
                    true => Refusal::Unknown(error),
                    false => Refusal::Etcd(error),
                })
            }
        }
    }
}
