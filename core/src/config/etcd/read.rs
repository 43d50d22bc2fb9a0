//! Reading: all documents at one revision, the history, the states of nodes.

use std::collections::BTreeMap;

use etcd_client::{GetOptions, KeyValue, ResponseHeader};
use serde_json::Value;

use super::client::{Etcd, kv};
use super::connection::Failure;
use super::error::{EtcdError, Meaning, meaning};
use super::keys::{Entry, end_of};
use super::snapshot::{Document, Head, MOST_BYTES, MOST_DOCUMENTS, Snapshot, VersionedHead};

/// Keys per call. Texts of the largest size that etcd takes by default fit an answer.
const PAGE: i64 = 32;
/// Keys per call where values are not asked for.
const PAGE_OF_KEYS: i64 = 1000;
/// A long read whose revision is compacted away meanwhile begins again so often.
const ATTEMPTS: usize = 3;

/// Which state of which cluster an answer speaks of. A cluster that was restored from a backup shows by going back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) cluster: u64,
    pub(super) term: u64,
    pub(super) revision: i64,
}

impl Origin {
    pub(super) fn of(header: Option<&ResponseHeader>) -> Self {
        header.map_or_else(Self::default, |header| Self {
            cluster: header.cluster_id(),
            term: header.raft_term(),
            revision: header.revision(),
        })
    }

    /// Whether an answer that comes after this one casts doubt on what is known. A member that lags does so too.
    pub(super) fn is_doubtful(&self, later: &Self) -> bool {
        later.cluster != self.cluster || later.term < self.term || later.revision < self.revision
    }
}

/// The keys of a range at one revision.
pub(super) struct Listing {
    pub(super) origin: Origin,
    pub(super) entries: Vec<KeyValue>,
}

/// What is listed of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Values,
    KeysAlone,
}

impl Etcd {
    /// All documents and the head, at one revision.
    ///
    /// # Errors
    /// If etcd does not answer or refuses. A document that has no text is no error: it says so itself.
    pub async fn read(&self) -> Result<Snapshot, EtcdError> {
        Ok(self.read_with_origin().await?.0)
    }

    pub(super) async fn read_with_origin(&self) -> Result<(Snapshot, Origin), EtcdError> {
        let (from, to) = self.keys.followed();
        let listing = self.list(&from, &to, Of::Values).await?;
        let mut snapshot = Snapshot {
            revision: listing.origin.revision,
            ..Snapshot::default()
        };
        for entry in &listing.entries {
            let (bytes, version) = (entry.value(), entry.mod_revision());
            match self.keys.entry(entry.key()) {
                Some(Entry::Document(name)) => {
                    let document = Document::new(bytes, version);
                    snapshot.documents.insert(name, document);
                }
                Some(Entry::Head) => snapshot.head = Some(VersionedHead::new(bytes, version)),
                None => {}
            }
        }
        Ok((snapshot, listing.origin))
    }

    /// The pushes that are kept, the newest first.
    ///
    /// # Errors
    /// If etcd does not answer or refuses.
    pub async fn history(&self) -> Result<Vec<Head>, EtcdError> {
        let folder = self.keys.history();
        let listing = self.list(&folder, &end_of(&folder), Of::Values).await?;
        let mut heads = Vec::new();
        for entry in &listing.entries {
            match serde_json::from_slice::<Head>(entry.value()) {
                Ok(head) => heads.push(head),
                Err(error) => {
                    let key = String::from_utf8_lossy(entry.key());
                    tracing::warn!(%key, %error, "this key of the history cannot be read; it is left out");
                }
            }
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.generation));
        Ok(heads)
    }

    /// What each living node says of itself, by its name; `null` where that is no JSON.
    ///
    /// # Errors
    /// If etcd does not answer or refuses.
    pub async fn statuses(&self) -> Result<BTreeMap<String, Value>, EtcdError> {
        let folder = self.keys.statuses();
        let listing = self.list(&folder, &end_of(&folder), Of::Values).await?;
        let entries = listing.entries.iter().filter_map(|entry| {
            let node = entry.key().strip_prefix(folder.as_bytes())?;
            let status = serde_json::from_slice(entry.value()).unwrap_or(Value::Null);
            Some((String::from_utf8_lossy(node).into_owned(), status))
        });
        Ok(entries.collect())
    }

    /// The value of a key, with the revision that wrote it.
    pub(super) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, i64)>, EtcdError> {
        let answer = self
            .connection
            .call(|client| async move { kv(&client).get(key, None).await })
            .await?;
        let found = answer.kvs().first();
        Ok(found.map(|entry| (entry.value().to_vec(), entry.mod_revision())))
    }

    /// All keys of `[from, to)`, at one revision, by as many calls as it takes.
    pub(super) async fn list(&self, from: &str, to: &str, of: Of) -> Result<Listing, EtcdError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.list_once(from, to, of).await {
                Err(Failure::Said(error))
                    if attempts < ATTEMPTS
                        && matches!(meaning(&error), Meaning::Compacted | Meaning::Future) => {}
                Err(failure) => return Err(self.connection.explain(failure)),
                Ok(None) => return Err(self.too_much()),
                Ok(Some(listing)) => return Ok(listing),
            }
        }
    }

    /// `None` if there is more than may be.
    async fn list_once(&self, from: &str, to: &str, of: Of) -> Result<Option<Listing>, Failure> {
        let mut page = if of == Of::Values { PAGE } else { PAGE_OF_KEYS };
        let mut listing: Option<Listing> = None;
        let mut next = from.as_bytes().to_vec();
        let mut bytes = 0;
        loop {
            let mut options = GetOptions::new().with_range(to).with_limit(page);
            if let Some(listing) = &listing {
                options = options.with_revision(listing.origin.revision);
            }
            if of == Of::KeysAlone {
                options = options.with_keys_only();
            }
            let key = &next;
            let call = |client| {
                let (key, options) = (key.clone(), options.clone());
                async move { kv(&client).get(key, Some(options)).await }
            };
            let mut answer = match self.connection.call_once_more(call, &mut false).await {
                Err(Failure::Said(error)) if meaning(&error) == Meaning::TooLarge && page > 1 => {
                    page /= 2;
                    continue;
                }
                answer => answer?,
            };
            let found = answer.take_kvs();
            let whole = listing.get_or_insert_with(|| Listing {
                origin: Origin::of(answer.header()),
                entries: Vec::new(),
            });
            if let Some(last) = found.last() {
                next = last.key().to_vec();
                next.push(0);
            }
            bytes += found.iter().map(|entry| entry.value().len()).sum::<usize>();
            let is_last = found.is_empty() || !answer.more();
            whole.entries.extend(found);
            // Of a history there are more blobs than documents.
            let most = if of == Of::Values {
                MOST_DOCUMENTS + 1
            } else {
                100 * MOST_DOCUMENTS
            };
            if whole.entries.len() > most || bytes > MOST_BYTES {
                return Ok(None);
            }
            if is_last {
                return Ok(listing);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_goes_back_or_is_another_is_doubtful() {
        let origin = |cluster, term, revision| Origin {
            cluster,
            term,
            revision,
        };
        let known = origin(1, 5, 100);
        for sound in [origin(1, 5, 100), origin(1, 6, 100), origin(1, 5, 200)] {
            assert!(!known.is_doubtful(&sound));
        }
        for doubtful in [origin(2, 5, 100), origin(1, 4, 100), origin(1, 6, 99)] {
            assert!(known.is_doubtful(&doubtful));
        }
    }
}
