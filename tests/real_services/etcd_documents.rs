//! Documents in etcd: pushed, read, followed through what can happen to an etcd, and the states of nodes.

mod following;
mod pushing;
mod states;
mod trouble;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use linkgate_core::config::etcd::{Etcd as Documents, EtcdSource, Push, Snapshot, State, Timing};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::common::wait::within;

/// Impatient, so that a test need not wait.
const TIMING: Timing = Timing {
    audit: Duration::from_secs(300),
    quiet: Duration::from_millis(300),
    dead: Duration::from_millis(700),
    backoff: Duration::from_millis(20),
    max_backoff: Duration::from_millis(200),
    lease: Duration::from_secs(2),
};

fn source(addresses: &[SocketAddr]) -> EtcdSource {
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let url = format!("etcd://{}/linkgate/test/", addresses.join(","));
    EtcdSource::parse_url(&url).unwrap()
}

fn open(address: SocketAddr) -> Documents {
    Documents::new(source(&[address])).with_timing(TIMING)
}

/// The library's own client, for what somebody else does.
async fn raw(address: SocketAddr) -> etcd_client::Client {
    let url = [address.to_string()];
    etcd_client::Client::connect(url, None).await.unwrap()
}

fn key(name: &str) -> String {
    format!("/linkgate/test/documents/{name}")
}

fn push(documents: &[(&str, &str)]) -> Push {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    Push {
        documents: documents.iter().map(owned).collect(),
        by: "anna".to_owned(),
        note: "a test".to_owned(),
        ..Push::default()
    }
}

async fn push_now(etcd: &Documents, documents: &[(&str, &str)]) -> u64 {
    let expected = etcd.read().await.unwrap();
    let pushed = etcd.push(&expected, &push(documents)).await;
    pushed.unwrap().head.generation
}

fn texts(snapshot: &Snapshot) -> BTreeMap<&str, &str> {
    let documents = snapshot.documents.iter();
    documents
        .map(|(name, document)| (name.as_str(), document.text().unwrap_or("(none)")))
        .collect()
}

/// Somebody who follows the documents.
struct Follower {
    states: watch::Receiver<State>,
    _task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Follower {
    fn start(etcd: &Documents) -> Self {
        let (sink, states) = watch::channel(State::default());
        let stop = CancellationToken::new();
        let (etcd, token) = (etcd.clone(), stop.clone());
        let task = tokio::spawn(async move { etcd.watch(sink, token).await });
        Self {
            states,
            _task: task,
            _stop: stop.drop_guard(),
        }
    }

    /// The next state that is so.
    async fn sees(&mut self, what: &str, mut holds: impl FnMut(&State) -> bool) -> State {
        let state = within(what, self.states.wait_for(|state| holds(state)));
        state.await.unwrap().clone()
    }

    async fn sees_texts(&mut self, what: &str, expected: &[(&str, &str)]) -> State {
        let expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
        let is_there = |state: &State| {
            let snapshot = state.snapshot.as_ref();
            snapshot.is_some_and(|snapshot| texts(snapshot) == expected)
        };
        self.sees(what, is_there).await
    }
}
