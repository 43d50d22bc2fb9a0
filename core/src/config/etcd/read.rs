//! Reading: all documents at one revision, the history, the states of nodes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Etcd;
use super::snapshot::{Head, Snapshot};
use crate::edges::etcd::{EtcdError, Mirror, Of};

impl Etcd {
    /// All documents and the head, at one revision.
    ///
    /// # Errors
    /// If etcd does not answer or refuses. A document that has no text is no error: it says so itself.
    pub async fn read(&self) -> Result<Snapshot, EtcdError> {
        let range = self.keys.followed();
        let listing = self.connection.list(&range, Of::Values).await?;
        let mirror = Mirror::new(&listing, |key, value| self.keys.read(key, value));
        Ok(Snapshot::of(&mirror, &self.keys))
    }

    /// The pushes that are kept, the newest first.
    ///
    /// # Errors
    /// If etcd does not answer or refuses.
    pub async fn history(&self) -> Result<Vec<Head>, EtcdError> {
        let range = self.keys.history();
        let listing = self.connection.list(&range, Of::Values).await?;
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
        let range = self.keys.statuses();
        let listing = self.connection.list(&range, Of::Values).await?;
        let entries = listing.entries.iter().filter_map(|entry| {
            let node = entry.key().strip_prefix(range.from.as_bytes())?;
            let status = serde_json::from_slice(entry.value()).unwrap_or(Value::Null);
            Some((String::from_utf8_lossy(node).into_owned(), status))
        });
        Ok(entries.collect())
    }
}
