//! What nodes say of themselves.

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Documents, open, raw};
use crate::common::wait::until;
use crate::services::Etcd;

/// A node that says what it is told to.
struct Node {
    value: watch::Sender<Value>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Node {
    fn start(etcd: &Documents, name: &str) -> Self {
        let (value, values) = watch::channel(json!({ "generation": 1 }));
        let stop = CancellationToken::new();
        let (etcd, name, token) = (etcd.clone(), name.to_owned(), stop.clone());
        let task = tokio::spawn(async move { etcd.keep_status(&name, values, token).await });
        Self { value, stop, task }
    }
}

async fn says(etcd: &Documents, node: &str, expected: Option<Value>) {
    let what = format!("{node} says {expected:?}");
    until(&what, async || {
        let statuses = etcd.statuses().await;
        statuses.is_ok_and(|statuses| statuses.get(node) == expected.as_ref())
    })
    .await;
}

#[tokio::test]
async fn a_state_stands_as_long_as_its_node() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let (one, other) = (Node::start(&etcd, "one"), Node::start(&etcd, "other"));
    says(&etcd, "one", Some(json!({ "generation": 1 }))).await;
    says(&etcd, "other", Some(json!({ "generation": 1 }))).await;
    one.value.send(json!({ "generation": 2 })).unwrap();
    says(&etcd, "one", Some(json!({ "generation": 2 }))).await;

    // One takes its leave, the other dies: its lease ends.
    one.stop.cancel();
    one.task.await.unwrap();
    assert!(!etcd.statuses().await.unwrap().contains_key("one"));
    other.task.abort();
    says(&etcd, "other", None).await;
}

#[tokio::test]
async fn a_state_comes_back_after_its_lease_or_its_etcd_was_lost() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    let node = Node::start(&etcd, "one");
    says(&etcd, "one", Some(json!({ "generation": 1 }))).await;
    let mut client = raw(server.address()).await;
    for lease in client.leases().await.unwrap().leases() {
        client.lease_revoke(lease.id()).await.unwrap();
    }
    says(&etcd, "one", Some(json!({ "generation": 1 }))).await;

    server.stop();
    node.value.send(json!({ "generation": 2 })).unwrap();
    server.resume().await;
    says(&etcd, "one", Some(json!({ "generation": 2 }))).await;
    // Nobody speaks for the node any more, but it lives: what it said last outlasts its lease.
    drop(node.value);
    let mut client = raw(server.address()).await;
    let longer = client.lease_grant(5, None).await.unwrap().id();
    until("a longer lease has ended", async || {
        let left = client.lease_time_to_live(longer, None).await;
        left.unwrap().ttl() < 0
    })
    .await;
    let statuses = etcd.statuses().await.unwrap();
    assert_eq!(statuses["one"], json!({ "generation": 2 }));
    node.stop.cancel();
    node.task.await.unwrap();
    says(&etcd, "one", None).await;
}
