//! Documents that are kept in etcd, and the status of the node there.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Fetched;
use crate::config::etcd::{Etcd, EtcdSource, Snapshot, State};
use crate::config::source::Origin;
use crate::node::{ConfigStatus, Node};

/// The etcd of a node.
pub(super) struct Remote {
    etcd: Etcd,
    states: watch::Receiver<State>,
    sink: Option<watch::Sender<State>>,
}

impl From<&Snapshot> for Fetched {
    fn from(snapshot: &Snapshot) -> Self {
        let mut fetched = Self::default();
        for (name, document) in &snapshot.documents {
            match &document.content {
                Ok(text) => {
                    fetched.texts.insert(name.clone(), text.to_string());
                }
                Err(why) => {
                    let path = Origin::fetched_path(name);
                    fetched.unreadable.insert(path, why.to_string());
                }
            }
        }
        fetched
    }
}

impl Remote {
    pub(super) fn new(source: EtcdSource) -> Self {
        let (sink, states) = watch::channel(State::default());
        Self {
            etcd: Etcd::new(source),
            states,
            sink: Some(sink),
        }
    }

    /// What is there now; the error is a sentence.
    pub(super) async fn read(&self) -> Result<Fetched, String> {
        let read = self.etcd.read().await;
        read.map(|snapshot| Fetched::from(&snapshot))
            .map_err(|error| error.to_string())
    }

    /// Follows the documents from now on, and keeps the node's status there, until the node stops.
    pub(super) fn follow(&mut self, node: &Node) {
        let Some(sink) = self.sink.take() else {
            return;
        };
        let etcd = self.etcd.clone();
        node.in_background(|stop| async move { etcd.watch(sink, stop).await });
        let (etcd, statuses) = (self.etcd.clone(), node.status().subscribe());
        node.in_background(|stop| keep_status(etcd, statuses, stop));
    }

    /// What is there, once that has changed; and why it cannot be followed, if that is so.
    pub(super) async fn changed(&mut self) -> (Option<Fetched>, Option<String>) {
        if self.states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let state = self.states.borrow_and_update().clone();
        let fetched = state.snapshot.as_deref().map(Fetched::from);
        let error = (!state.connected).then_some(state.last_error).flatten();
        (fetched, error)
    }
}

/// Keeps what the node says of itself.
async fn keep_status(
    etcd: Etcd,
    mut statuses: watch::Receiver<ConfigStatus>,
    stop: CancellationToken,
) {
    let value = |status: &ConfigStatus| serde_json::json!(status);
    let node = statuses.borrow().node.clone();
    let (values, kept) = watch::channel(value(&statuses.borrow_and_update()));
    let follow = async {
        while statuses.changed().await.is_ok() {
            values.send_replace(value(&statuses.borrow_and_update()));
        }
    };
    let keep = etcd.keep_status(&node, kept, stop.clone());
    tokio::pin!(keep);
    tokio::select! {
        () = &mut keep => return,
        () = follow => {}
    }
    keep.await;
}
