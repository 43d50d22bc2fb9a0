//! Several nodes as one, over real sockets, with the registry and the directory in memory.

use std::time::Duration;

use linkgate_client::Target;
use linkgate_core::cluster::registry::Way;
use linkgate_filter::CloseCode;
use linkgate_proto::v1::PushRequest;
use linkgate_proto::v1::receiver_outcome::Status;

use crate::common::client::Client;
use crate::common::cluster::{Member, Members};
use crate::common::gateway::target;
use crate::common::push::{Caller, push, read};
use crate::common::wait::until;

async fn three() -> (Members, [Member; 3]) {
    let members = Members::new();
    let nodes = [
        members.start("a").await,
        members.start("b").await,
        members.start("c").await,
    ];
    for node in &nodes {
        until("all nodes have entered their links", async || {
            let all = node.nodes().await;
            all.len() == 3 && all.iter().all(|one| one.behind.is_empty())
        })
        .await;
    }
    (members, nodes)
}

/// Opens a link that can be pushed to.
async fn connect(node: &Member, user: &str, device: Option<&str>) -> Client {
    let target = Target {
        device_id: device.map(Into::into),
        ..target(node.address(), user)
    };
    let mut client = Client::connect(&target).await;
    client.heartbeat("there").await;
    client
}

#[tokio::test]
async fn a_push_finds_its_user_on_another_node() {
    let (_members, [a, b, _c]) = three().await;
    let mut ann = connect(&b, "ann", None).await;
    let caller = Caller::new(a.pushes());
    let pushed = caller.pushing(push("1", &["ann"]));
    assert_eq!(ann.push().await, ("1".into(), "body of 1".into()));
    ann.ack("1").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));
    let offline = caller.push_one(push("2", &["bob"])).await;
    assert_eq!(read(&offline), (Status::Offline, "push.offline"));
}

#[tokio::test]
async fn devices_on_different_nodes_all_get_a_push() {
    let (_members, [a, b, c]) = three().await;
    let mut phone = connect(&b, "ann", Some("phone")).await;
    let mut desk = connect(&c, "ann", Some("desk")).await;
    let mut here = connect(&a, "ann", Some("here")).await;
    let caller = Caller::new(a.pushes());
    let all = PushRequest {
        all: true,
        ..push("1", &["ann"])
    };
    let pushed = caller.pushing(all);
    for client in [&mut phone, &mut desk, &mut here] {
        assert_eq!(client.push().await.0, "1");
    }
    phone.ack("1").await;
    here.ack("1").await;
    here.heartbeat("meanwhile").await;
    assert!(!pushed.is_finished(), "one of them has not acknowledged it");
    desk.ack("1").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));
}

#[tokio::test]
async fn who_logs_in_on_another_node_is_logged_out_here() {
    let (_members, [a, b, _c]) = three().await;
    let mut first = connect(&a, "ann", Some("phone")).await;
    let mut second = connect(&b, "ann", Some("phone")).await;
    assert_eq!(first.ended().await.code, CloseCode::REPLACED);
    let caller = Caller::new(a.pushes());
    let pushed = caller.pushing(push("1", &["ann"]));
    assert_eq!(second.push().await.0, "1");
    second.ack("1").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));
    until("both sides say the same", async || {
        let found = a.locate("ann").await;
        let claims = found.directory.unwrap();
        claims.claims.len() == 1 && claims.displaced.is_empty() && claims.claims[0].node == "b"
    })
    .await;
}

#[tokio::test]
async fn nobody_is_offline_for_a_registry_that_does_not_answer() {
    let (_members, [a, b, _c]) = three().await;
    let mut ann = connect(&b, "ann", None).await;
    a.reaches_registry(Way::Cut);
    let caller = Caller::new(a.pushes());
    let unknown = caller.push_one(push("1", &["bob"])).await;
    assert_eq!(
        read(&unknown),
        (Status::Rejected, "push.whereabouts_unknown")
    );
    // Who is found is sent to all the same.
    let pushed = caller.pushing(push("2", &["ann"]));
    assert_eq!(ann.push().await.0, "2");
    ann.ack("2").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));
    a.reaches_registry(Way::Open);
    until("the registry has answered", async || {
        let outcome = caller.push_one(push("3", &["bob"])).await;
        read(&outcome) == (Status::Offline, "push.offline")
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stops_takes_its_links_along() {
    let (_members, [a, b, _c]) = three().await;
    let _ann = connect(&b, "ann", None).await;
    b.node.stop(Duration::from_secs(1)).await;
    let caller = Caller::new(a.pushes());
    until("it is gone", async || {
        let outcome = caller.push_one(push("1", &["ann"])).await;
        read(&outcome) == (Status::Offline, "push.offline")
    })
    .await;
    assert_eq!(a.nodes().await.len(), 2);
}

#[tokio::test]
async fn a_change_of_the_cluster_takes_a_restart_and_says_so() {
    let members = Members::new();
    let a = members.start("a").await;
    assert!(a.node.needs_restart().is_empty());
    a.change(|yaml| yaml.replace("suspect_for: 4s", "suspect_for: 5s"));
    assert_eq!(a.node.needs_restart(), ["cluster"]);
    a.change(str::to_owned);
    assert!(a.node.needs_restart().is_empty());
}
