//! Reading: a key, and all keys of a range at one revision.

use etcd_client::{GetOptions, KeyValue, ResponseHeader};

use super::connection::{Connection, Failure, kv};
use super::error::{EtcdError, Meaning, meaning};

/// Keys per call. Texts of the largest size that etcd takes by default fit an answer.
const PAGE: i64 = 32;
/// Keys per call where values are not asked for.
const PAGE_OF_KEYS: i64 = 1000;
/// A long read whose revision is compacted away meanwhile begins again so often.
const ATTEMPTS: usize = 3;

/// Which state of which cluster an answer speaks of. A cluster that was restored from a backup shows by going back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) cluster: u64,
    pub(crate) term: u64,
    pub(crate) revision: i64,
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

/// The keys of `[from, to)`, and how many there may be.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) bound: Bound,
}

/// How much may be in a range. Beyond it, it is not read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

impl Range {
    /// All keys that begin with `folder`, which ends in a slash.
    pub(crate) fn of(folder: String, bound: Bound) -> Self {
        let to = format!("{}0", folder.trim_end_matches('/'));
        Self {
            from: folder,
            to,
            bound,
        }
    }

    pub(super) fn holds(&self, keys: usize, bytes: usize) -> bool {
        keys <= self.bound.keys && bytes <= self.bound.bytes
    }

    pub(super) fn too_much(&self) -> EtcdError {
        EtcdError::TooMuch {
            from: self.from.clone(),
            keys: self.bound.keys,
            mib: self.bound.bytes >> 20,
        }
    }
}

/// The keys of a range at one revision.
pub(crate) struct Listing {
    pub(crate) origin: Origin,
    pub(crate) entries: Vec<KeyValue>,
}

/// What is listed of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Values,
    KeysAlone,
}

impl Connection {
    /// The value of a key, with the revision that wrote it.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, i64)>, EtcdError> {
        let answer = self
            .call(|client| async move { kv(&client).get(key, None).await })
            .await?;
        let found = answer.kvs().first();
        Ok(found.map(|entry| (entry.value().to_vec(), entry.mod_revision())))
    }

    /// All keys of a range, at one revision, by as many calls as it takes.
    pub(crate) async fn list(&self, range: &Range, of: Of) -> Result<Listing, EtcdError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.list_once(range, of).await {
                Err(Failure::Said(error))
                    if attempts < ATTEMPTS
                        && matches!(meaning(&error), Meaning::Compacted | Meaning::Future) => {}
                Err(failure) => return Err(self.explain(failure)),
                Ok(None) => return Err(range.too_much()),
                Ok(Some(listing)) => return Ok(listing),
            }
        }
    }

    /// `None` if there is more than may be.
    async fn list_once(&self, range: &Range, of: Of) -> Result<Option<Listing>, Failure> {
        let mut page = if of == Of::Values { PAGE } else { PAGE_OF_KEYS };
        let mut listing: Option<Listing> = None;
        let mut next = range.from.as_bytes().to_vec();
        let mut bytes = 0;
        loop {
            let mut options = GetOptions::new()
                .with_range(range.to.as_str())
                .with_limit(page);
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
            let mut answer = match self.call_once_more(call, &mut false).await {
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
            if !range.holds(whole.entries.len(), bytes) {
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

    #[test]
    fn a_range_of_a_folder_ends_behind_its_last_key() {
        let bound = Bound { keys: 1, bytes: 1 };
        let range = Range::of("/p/blobs/".to_owned(), bound);
        assert_eq!((&*range.from, &*range.to), ("/p/blobs/", "/p/blobs0"));
    }
}
