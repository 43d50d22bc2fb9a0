//! Reading several places at one revision, asked of a majority.

use etcd_client::{GetOptions, GetResponse, KeyValue, SortOrder, SortTarget, Txn, TxnOp};
use etcd_client::{KvClient, TxnOpResponse};

use super::connection::{Connection, kv};
use super::error::EtcdError;
use super::read::{Listing, Origin, Range};

impl Connection {
    /// These keys, each with what stands there.
    pub(crate) async fn keys(
        &self,
        keys: &[&str],
    ) -> Result<(Origin, Vec<Option<KeyValue>>), EtcdError> {
        let gets = keys.iter().map(|key| TxnOp::get(*key, None));
        let (origin, answers) = self.at_once(gets.collect()).await?;
        let first = |mut answer: GetResponse| answer.take_kvs().into_iter().next();
        Ok((origin, answers.into_iter().map(first).collect()))
    }

    /// All keys of these ranges. For ranges whose answer is sure to fit one message.
    pub(crate) async fn ranges(&self, ranges: &[&Range]) -> Result<Vec<Listing>, EtcdError> {
        let gets = ranges.iter().map(|range| {
            let most = i64::try_from(range.bound.keys).unwrap_or(i64::MAX - 1) + 1;
            let options = GetOptions::new()
                .with_range(range.to.as_str())
                .with_limit(most);
            TxnOp::get(range.from.as_str(), Some(options))
        });
        let (origin, answers) = self.at_once(gets.collect()).await?;
        let listings = ranges.iter().zip(answers).map(|(range, mut answer)| {
            let entries = answer.take_kvs();
            let bytes = entries.iter().map(|entry| entry.value().len()).sum();
            match range.holds(entries.len(), bytes) {
                true => Ok(Listing { origin, entries }),
                false => Err(range.too_much()),
            }
        });
        listings.collect()
    }

    /// The revision of the latest write that still stands in each of these ranges; 0 where nothing stands.
    pub(crate) async fn newest(&self, ranges: &[&Range]) -> Result<(Origin, Vec<i64>), EtcdError> {
        let gets = ranges.iter().map(|range| {
            let options = GetOptions::new()
                .with_range(range.to.as_str())
                .with_sort(SortTarget::Mod, SortOrder::Descend)
                .with_limit(1)
                .with_keys_only();
            TxnOp::get(range.from.as_str(), Some(options))
        });
        let (origin, answers) = self.at_once(gets.collect()).await?;
        let revision = |answer: GetResponse| answer.kvs().first().map_or(0, KeyValue::mod_revision);
        Ok((origin, answers.into_iter().map(revision).collect()))
    }

    async fn at_once(&self, gets: Vec<TxnOp>) -> Result<(Origin, Vec<GetResponse>), EtcdError> {
        let txn = Txn::new().and_then(gets);
        let call = |client| {
            let (mut kv, txn): (KvClient, Txn) = (kv(&client), txn.clone());
            async move { kv.txn(txn).await }
        };
        let answer = self.call(call).await?;
        let answers = answer.op_responses().into_iter();
        let answers = answers.filter_map(|answer| match answer {
            TxnOpResponse::Get(answer) => Some(answer),
            _ => None,
        });
        Ok((Origin::of(answer.header()), answers.collect()))
    }
}
