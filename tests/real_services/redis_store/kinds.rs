//! The other ways to a Redis: over TLS with a password, a cluster, and a master that a sentinel knows.

use linkgate_filter::EdgeFailure;

use super::{KEEP, ann, insert, open_at};
use crate::common::tls::Authority;
use crate::common::wait::until;
use crate::services::{Redis, free_address};

#[tokio::test]
async fn tls_is_spoken_and_nobody_else_is_trusted() {
    let authority = Authority::new();
    let address = free_address();
    let args = format!(
        "--tls-port {} --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {} --tls-auth-clients no",
        address.port(),
        authority.file("cert.pem"),
        authority.file("key.pem"),
        authority.file("ca.pem"),
    );
    let Some(redis) = Redis::start_with(&args).await else {
        return;
    };
    let added = redis.call("ACL SETUSER gate on >hunter2 ~* +@all").await;
    assert_eq!(added.as_deref(), Some("+OK"));
    let pem = |authority: &Authority| {
        let pem = std::fs::read_to_string(authority.ca()).unwrap();
        serde_json::to_string(&pem).unwrap()
    };
    let ca = pem(&authority);
    let store = open_at(&format!(
        "url: 'rediss://gate:hunter2@{address}/1', ca: {ca}"
    ));
    assert_eq!(insert(&store, "k", "v").await, None);
    assert_eq!(insert(&store, "k", "w").await.as_deref(), Some("v"));

    let other = pem(&Authority::new());
    for place in [
        format!("url: 'rediss://gate:hunter2@{address}', ca: {other}"),
        format!("url: 'rediss://gate:hunter3@{address}', ca: {ca}"),
    ] {
        let store = open_at(&place);
        let refused = store.insert(&ann(), "k".into(), "w".into(), KEEP).await;
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error.failure,
                EdgeFailure::Refused | EdgeFailure::Unreachable
            ),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_has_each_key_on_its_own_node() {
    let mut nodes = Vec::new();
    for slots in ["0 8191", "8192 16383"] {
        let bus = free_address().port();
        let args = format!("--cluster-enabled yes --cluster-port {bus}");
        let Some(node) = Redis::start_with(&args).await else {
            return;
        };
        let added = node.call(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
        assert_eq!(added.as_deref(), Some("+OK"));
        nodes.push((node, bus));
    }
    let ((one, _), (other, bus)) = (&nodes[0], &nodes[1]);
    let port = other.address().port();
    let met = one
        .call(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
        .await;
    assert_eq!(met.as_deref(), Some("+OK"));
    let store = open_at(&format!("cluster: ['redis://{}']", one.address()));
    // The nodes take a while to know each other. What is inserted while one of them does not is kept as well.
    until("the cluster serves all keys", async || {
        for key in ["a", "b", "c", "d"] {
            if store
                .insert(&ann(), key.into(), "v".into(), KEEP)
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    })
    .await;
    for key in ["a", "b", "c", "d"] {
        assert_eq!(insert(&store, key, "w").await.as_deref(), Some("v"));
        let replaced = store.replace(key.into(), "v".into(), "w".into(), KEEP);
        assert!(replaced.await.unwrap());
        assert!(store.remove(key.into(), "w".into()).await.unwrap());
    }
    assert_eq!(insert(&store, "a", "left").await, None);
    assert_eq!(insert(&store, "b", "left").await, None);
    // `a` and `b` lie in different halves.
    for (node, _) in &nodes {
        assert_eq!(node.call("DBSIZE").await.as_deref(), Some(":1"));
    }
}

#[tokio::test]
async fn a_sentinel_says_which_server_is_the_master_now() {
    let Some(mut master) = Redis::start().await else {
        return;
    };
    let port = master.address().port();
    let replica = Redis::start_with(&format!("--replicaof 127.0.0.1 {port}")).await;
    let (replica, sentinel) = (replica.unwrap(), master.sentinel().await);
    let store = open_at(&format!(
        "sentinel: {{ urls: ['redis://{}'], master: main }}",
        sentinel.address()
    ));
    assert_eq!(insert(&store, "k", "v").await, None);
    until("the replica has it", async || {
        replica.call("DBSIZE").await.as_deref() == Some(":1")
    })
    .await;
    until("the sentinel knows the replica", async || {
        let known = sentinel.call("SENTINEL REPLICAS main").await;
        known.as_deref() == Some("*1")
    })
    .await;
    master.stop();
    until("the replica is the master", async || {
        let found = store.insert(&ann(), "k".into(), "w".into(), KEEP).await;
        found.is_ok_and(|found| found.as_deref() == Some(b"v"))
    })
    .await;
    let replaced = store.replace("k".into(), "v".into(), "w".into(), KEEP);
    assert!(replaced.await.unwrap());
}
