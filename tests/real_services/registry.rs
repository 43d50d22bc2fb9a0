//! The registry in etcd: what every registry does, and what only a real etcd can do to it.

#[path = "../../core/src/cluster/registry/suite.rs"]
mod suite;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{CompactionOptions, PutOptions, Txn, TxnOp};
use linkgate_core::cluster::registry::{
    Boot, BootError, EtcdRegistry, Incarnation, Load, NodeRecord, NodeState, Registered, Registry,
    Told, View,
};
use linkgate_core::config::etcd::{EtcdSource, Timing};

use self::suite::{Follower, Node, boot, boot_of, record};
use crate::common::metrics::Metrics;
use crate::common::wait::until;
use crate::services::{Etcd, Quiet};

/// Impatient, so that a test need not wait.
const TIMING: Timing = Timing {
    audit: Duration::from_secs(300),
    quiet: Duration::from_millis(300),
    dead: Duration::from_millis(700),
    backoff: Duration::from_millis(20),
    max_backoff: Duration::from_millis(200),
    lease: Duration::from_secs(2),
};

const NODES: &str = "/services/gateway/node/";

fn open(address: SocketAddr) -> Arc<dyn Registry> {
    let url = format!("etcd://{address}/linkgate/test");
    let mut source = EtcdSource::parse_url(&url).unwrap();
    source.timeout = Duration::from_secs(1).into();
    Arc::new(EtcdRegistry::with_timing(source, Some(NODES), TIMING))
}

/// The library's own client, for what somebody else does.
async fn raw(address: SocketAddr) -> etcd_client::Client {
    let url = [address.to_string()];
    etcd_client::Client::connect(url, None).await.unwrap()
}

fn boot_key(node: &str) -> String {
    format!("/linkgate/test/boots/{node}")
}

fn node_key(node: &str) -> String {
    format!("{NODES}{node}")
}

async fn value(client: &mut etcd_client::Client, key: &str) -> serde_json::Value {
    let found = client.get(key, None).await.unwrap();
    serde_json::from_slice(found.kvs()[0].value()).unwrap()
}

fn is_unknown(told: &Registered) -> bool {
    matches!(told, Registered::Unknown(_))
}

#[tokio::test]
async fn etcd_does_what_every_registry_does() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    suite::run(&|| open(server.address())).await;
}

#[tokio::test]
async fn a_node_stands_where_the_readers_of_the_older_gateway_look_and_its_nodes_are_seen() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let (registry, mut client) = (open(server.address()), raw(server.address()).await);
    let life = boot(&registry, "a").await;
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    let said = value(&mut client, "/services/gateway/node/a").await;
    assert_eq!((&said["id"], &said["port"]), (&"a".into(), &8080.into()));
    assert_eq!(said["linkgate"]["incarnation"], life.to_string());
    let boot = value(&mut client, "/linkgate/test/boots/a").await;
    assert_eq!(boot["instance"], "instance of a");

    let older = r#"{"id":"old","ip":"10.0.0.9","port":9001,"labels":null,"capacity":50000}"#;
    for (node, value) in [("old", older), ("junk", "down"), ("junk2", "[]")] {
        client.put(node_key(node), value, None).await.unwrap();
    }
    let mut follower = Follower::start(&registry);
    let view = follower
        .sees("the older node", |view| view.nodes.contains_key("old"))
        .await;
    let nodes: Vec<&str> = view.nodes.keys().map(AsRef::as_ref).collect();
    assert_eq!(nodes, ["a", "old"], "what is no node is left out");
    assert_eq!(view.nodes["old"].incarnation, None);
    assert_eq!(view.nodes["old"].port, 9001);
    let newest = registry.newest().await.unwrap();
    assert!(view.mark.covers(&newest), "what is left out counts as well");

    // What cannot be read may be a newer version's node: its life is not ended.
    let life = boot_of("junk", "of a newer version");
    let life = registry.boot("junk", &life, None).await.unwrap();
    assert!(!registry.end("junk", life).await.unwrap());
    client.delete(node_key("junk"), None).await.unwrap();
    assert!(registry.end("junk", life).await.unwrap());
}

#[tokio::test]
async fn what_one_transaction_writes_is_in_one_view() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let (registry, mut client) = (open(server.address()), raw(server.address()).await);
    let mut follower = Follower::start(&registry);
    follower.sees("nothing", |_| true).await;
    for round in 0..50 {
        let instance = format!(r#"{{"instance":"{round}"}}"#);
        let said = format!(r#"{{"weight":{round}}}"#);
        let puts = [
            TxnOp::put(boot_key("a"), instance.as_str(), None),
            TxnOp::put(node_key("a"), said.as_str(), None),
            TxnOp::put(node_key("b"), said.as_str(), None),
        ];
        let done = client.txn(Txn::new().and_then(puts)).await.unwrap();
        let revision = u64::try_from(done.header().unwrap().revision()).unwrap();
        let newest = registry.newest().await.unwrap();
        assert_eq!((newest.boots, newest.nodes), (revision, revision));
        let view = follower.sees("the transaction", |view| {
            let nodes: Vec<_> = view.nodes.values().map(|node| node.weight).collect();
            assert!(
                nodes.is_empty() || nodes.len() == 2 && nodes[0] == nodes[1],
                "{nodes:?}"
            );
            view.mark.covers(&newest)
        });
        let view = view.await;
        assert!(
            view.boots
                .values()
                .all(|boot| *boot.instance == *round.to_string())
        );
        assert!(view.nodes.values().all(|node| node.weight == round));
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_heals_in_the_same_life() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let registry = open(server.address());
    let life = boot(&registry, "a").await;
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    let mut follower = Follower::start(&registry);
    follower
        .sees("the node", |view| view.nodes.contains_key("a"))
        .await;

    // etcd stands still for longer than the lease: each doubt takes a third of it, or a second.
    server.freeze();
    for _ in 0..4 {
        node.hears("doubt", is_unknown).await;
    }
    follower
        .hears("silence", |told| matches!(told, Told::Silent(_)))
        .await;
    assert!(registry.newest().await.is_err());
    node.record.send_replace(record("a", life, 1));
    server.go_on();
    let expected = Registered::Stands(record("a", life, 1));
    node.hears("it stands again", |told| *told == expected)
        .await;
    let is_new = |view: &View| view.nodes.get("a").is_some_and(|node| node.load.links == 1);
    follower.sees("the node again", is_new).await;

    // Somebody ends the lease.
    let mut client = raw(server.address()).await;
    let found = client.get(node_key("a"), None).await.unwrap();
    let lease = found.kvs()[0].lease();
    assert_ne!(lease, 0);
    client.lease_client().revoke(lease).await.unwrap();
    follower
        .sees("it is gone", |view| !view.nodes.contains_key("a"))
        .await;
    let view = follower
        .sees("it is back", |view| view.nodes.contains_key("a"))
        .await;
    assert!(view.boots.contains_key(&life));
    assert_eq!(view.nodes["a"].incarnation, Some(life));

    // etcd is started again.
    server.stop();
    node.hears("doubt", is_unknown).await;
    server.resume().await;
    node.stands().await;
    follower
        .hears("an answer", |told| matches!(told, Told::Answers))
        .await;
    registry.leave("a", life).await.unwrap();
    let read = registry.read().await.unwrap();
    assert!(read.boots.is_empty() && read.nodes.is_empty());
}

#[tokio::test]
async fn a_write_of_somebody_else_is_written_over() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let (registry, mut client) = (open(server.address()), raw(server.address()).await);
    let life = boot(&registry, "a").await;
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    for links in 1..4 {
        let options = PutOptions::new();
        client
            .put(node_key("a"), "{}", Some(options))
            .await
            .unwrap();
        node.record.send_replace(record("a", life, links));
        let expected = Registered::Stands(record("a", life, links));
        node.hears("the write", |told| *told == expected).await;
        assert_eq!(value(&mut client, &node_key("a")).await["load"], links);
    }
}

#[tokio::test]
async fn a_boot_whose_answer_is_lost_is_known_again() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let way = Quiet::before(server.address()).await;
    let (registry, other) = (open(way.address()), open(server.address()));
    way.lose_answer_to("the very instance");
    let newcomer = boot_of("a", "the very instance");
    let life = registry.boot("a", &newcomer, None).await.unwrap();
    let read = other.read().await.unwrap();
    assert_eq!(read.boots, [(life, newcomer)].into());

    // A write whose answer is lost is in doubt until the next one.
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    way.lose_answer_to(r#""load":7"#);
    node.record.send_replace(record("a", life, 7));
    node.hears("doubt", is_unknown).await;
    let expected = Registered::Stands(record("a", life, 7));
    node.hears("the write", |told| *told == expected).await;
    assert_eq!(other.read().await.unwrap().nodes["a"].load.links, 7);
}

#[tokio::test]
async fn a_write_that_comes_late_is_not_taken() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let way = Quiet::before(server.address()).await;
    let (registry, other) = (open(way.address()), open(server.address()));
    let life = boot(&registry, "a").await;
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    way.hold(r#""load":7"#);
    node.record.send_replace(record("a", life, 7));
    node.hears("doubt", is_unknown).await;
    node.record.send_replace(record("a", life, 8));
    let expected = Registered::Stands(record("a", life, 8));
    node.hears("the write after", |told| *told == expected)
        .await;
    let handled = async || {
        let metrics = Metrics::of(server.address()).await;
        metrics.sum("grpc_server_handled_total", &[("grpc_method", "Txn")])
    };
    let before = handled().await;
    way.release();
    until("etcd has handled it", async || handled().await > before).await;
    assert_eq!(other.read().await.unwrap().nodes["a"].load.links, 8);
}

#[tokio::test]
async fn another_etcd_in_its_place_is_told_as_another_registry() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let registry = open(server.address());
    let life = boot(&registry, "a").await;
    let mut node = Node::register(&registry, "a", life);
    node.stands().await;
    let mut follower = Follower::start(&registry);
    let before = follower
        .sees("the node", |view| view.nodes.contains_key("a"))
        .await;
    server.stop();
    server.renew();
    server.resume().await;
    node.hears("its life has ended", |told| *told == Registered::Ended)
        .await;
    let view = follower
        .sees("the other one", |view| view.mark.registry != life.registry)
        .await;
    assert!(view.boots.is_empty() && view.nodes.is_empty());
    assert!(!view.mark.covers(&before.mark) && !before.mark.covers(&view.mark));
    let newest = registry.newest().await.unwrap();
    assert_eq!(newest.registry, view.mark.registry);
    assert!(registry.end("a", life).await.unwrap(), "it is dead");
    let again = boot(&registry, "a").await;
    assert_eq!(again.registry, view.mark.registry);
    follower
        .sees("the life after", |view| view.boots.contains_key(&again))
        .await;
}

#[tokio::test]
async fn an_etcd_that_went_back_is_told_as_it_is() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let registry = open(server.address());
    let kept = boot(&registry, "a").await;
    server.stop();
    let backup = server.backup();
    server.resume().await;
    let lost = boot(&registry, "b").await;
    let mut node = Node::register(&registry, "b", lost);
    node.stands().await;
    let mut follower = Follower::start(&registry);
    follower
        .sees("both", |view| view.boots.contains_key(&lost))
        .await;
    server.stop();
    server.restore(&backup);
    server.resume().await;
    node.hears("its life has ended", |told| *told == Registered::Ended)
        .await;
    let view = follower
        .sees("the older state", |view| !view.boots.contains_key(&lost))
        .await;
    assert!(view.boots.contains_key(&kept) && view.mark.boots < lost.revision);
}

#[tokio::test]
async fn what_was_compacted_away_while_the_watch_was_cut_is_read_anew() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let registry = open(server.address());
    let a = boot(&registry, "a").await;
    let mut follower = Follower::start(&registry);
    follower
        .sees("the start", |view| view.boots.contains_key(&a))
        .await;
    let hidden = server.hide().await;
    let (elsewhere, mut client) = (open(hidden), raw(hidden).await);
    elsewhere.leave("a", a).await.unwrap();
    let b = boot(&elsewhere, "b").await;
    client.put(node_key("b"), "{}", None).await.unwrap();
    let newest = elsewhere.newest().await.unwrap();
    let last = i64::try_from(newest.nodes).unwrap();
    let physical = CompactionOptions::new().with_physical();
    client.compact(last, Some(physical)).await.unwrap();
    server.stop();
    server.resume().await;
    let view = follower
        .sees("the end", |view| view.mark.covers(&newest))
        .await;
    assert!(!view.boots.contains_key(&a) && view.boots.contains_key(&b));
    assert!(view.nodes.contains_key("b"));
}
