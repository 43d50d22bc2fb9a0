//! Following the documents: tells what they are whenever they have changed, and whether they can be followed.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Etcd;
use super::snapshot::{Said, Snapshot};
use crate::edges::etcd::{Follow, Mirror};

/// What is known of the documents, and how well.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The documents as they were told last; none before the first reading. It stays the same value as long as texts and
    /// head are the same, so its versions may be older than those in etcd: read anew to push.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why etcd cannot be followed now, for the one who runs it; none while it can.
    pub last_error: Option<String>,
    /// Whether changes arrive as they happen.
    pub connected: bool,
}

impl Etcd {
    /// Follows the documents until `stop`, and tells `sink` whenever texts or head have changed, or whether they can be
    /// followed. Several documents of one transaction change at once.
    pub async fn watch(&self, sink: watch::Sender<State>, stop: CancellationToken) {
        let follower = Follower {
            etcd: self,
            sink: &sink,
        };
        let range = self.keys.followed();
        let following = self.connection.follow(&range, self.timing, &follower);
        stop.run_until_cancelled(Box::pin(following)).await;
    }
}

struct Follower<'a> {
    etcd: &'a Etcd,
    sink: &'a watch::Sender<State>,
}

impl Follow for Follower<'_> {
    type Value = Said;

    fn read(&self, key: &str, value: &[u8]) -> Option<Said> {
        self.etcd.keys.read(key, value)
    }

    fn knows(&self, mirror: &Mirror<Said>) {
        let snapshot = Snapshot::of(mirror, &self.etcd.keys);
        self.sink.send_if_modified(|state| {
            let told = state.snapshot.as_ref();
            let is_new = told.is_none_or(|told| !told.is_same(&snapshot));
            if is_new {
                state.snapshot = Some(Arc::new(snapshot));
            }
            is_new
        });
    }

    fn follows(&self) {
        self.sink.send_if_modified(|state| {
            let is_new = !state.connected || state.last_error.is_some();
            state.connected = true;
            if state.last_error.take().is_some() {
                tracing::info!(etcd = %self.etcd, "the documents are followed again");
            }
            is_new
        });
    }

    fn lost(&self, why: String) {
        if self.sink.borrow().last_error.is_none() {
            tracing::warn!(etcd = %self.etcd, %why, "the documents cannot be followed for now");
        } else {
            tracing::debug!(etcd = %self.etcd, %why, "the documents still cannot be followed");
        }
        self.sink.send_if_modified(|state| {
            let is_new = state.connected || state.last_error.as_ref() != Some(&why);
            state.connected = false;
            state.last_error = Some(why);
            is_new
        });
    }
}

#[cfg(test)]
mod tests;
