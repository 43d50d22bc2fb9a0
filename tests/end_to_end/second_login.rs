//! A user's device that has a link opens another.

use linkgate_client::Target;
use linkgate_filter::CloseCode;
use linkgate_proto::v1::receiver_outcome::Status;

use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};
use crate::common::push::{Caller, push};

async fn gateway(policy: &str) -> Gateway {
    let setup = Setup {
        listener: policy,
        ..Setup::default()
    };
    setup.start().await
}

/// Whether a push reaches this client, and it alone.
async fn is_pushed(gateway: &Gateway, client: &mut Client, key: &str) {
    let pushed = Caller::new(gateway.push_address()).pushing(push(key, &["ann"]));
    assert_eq!(client.push().await.0, key);
    client.ack(key).await;
    assert_eq!(pushed.await.unwrap().status(), Status::Delivered);
}

#[tokio::test]
async fn replace_closes_the_older_link_and_its_cleanup_leaves_the_newer_alone() {
    let gateway = gateway("second_login: replace").await;
    let mut older = Client::connect(&gateway.target("ann")).await;
    older.heartbeat("there").await;
    for n in 0..20 {
        let mut newer = Client::connect(&gateway.target("ann")).await;
        newer.heartbeat("there").await;
        let ended = older.ended().await;
        assert_eq!(ended.code, CloseCode::REPLACED);
        assert!(!ended.code.reconnect());
        // The older link is out of the table now, or soon; the newer one is in it.
        is_pushed(&gateway, &mut newer, &n.to_string()).await;
        older = newer;
    }
    gateway
        .counts("one link is left", |metrics| {
            metrics.closed("replaced") == 20 && metrics.links() == 1
        })
        .await;
    is_pushed(&gateway, &mut older, "last").await;
}

#[tokio::test]
async fn reject_closes_the_newer_link() {
    let gateway = gateway("second_login: reject").await;
    let mut older = Client::connect(&gateway.target("ann")).await;
    older.heartbeat("there").await;
    let mut newer = Client::connect(&gateway.target("ann")).await;
    let ended = newer.ended().await;
    assert_eq!(ended.code, CloseCode::ALREADY_CONNECTED);
    assert!(!ended.code.reconnect());
    is_pushed(&gateway, &mut older, "1").await;
    assert_eq!(gateway.metrics().await.closed("already_connected"), 1);

    older.close().await;
    gateway
        .counts("the older link is gone", |metrics| metrics.links() == 0)
        .await;
    let mut third = Client::connect(&gateway.target("ann")).await;
    is_pushed(&gateway, &mut third, "2").await;
}

#[tokio::test]
async fn allow_lets_so_many_in_and_the_oldest_makes_room() {
    let gateway = gateway("second_login: { allow: 2 }").await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(&gateway.target("ann")).await;
        client.heartbeat("there").await;
        clients.push(client);
    }
    let caller = Caller::new(gateway.push_address());
    let both = caller.pushing(linkgate_proto::v1::PushRequest {
        all: true,
        ..push("both", &["ann"])
    });
    for client in &mut clients {
        assert_eq!(client.push().await.0, "both");
        client.ack("both").await;
    }
    assert_eq!(both.await.unwrap().status(), Status::Delivered);

    let mut third = Client::connect(&gateway.target("ann")).await;
    third.heartbeat("there").await;
    let [mut first, mut second] = clients.try_into().ok().unwrap();
    assert_eq!(first.ended().await.code, CloseCode::REPLACED);
    assert_eq!(second.ask("2", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(third.ask("3", "hi").await, Answer::Ack("hi".into()));
    gateway
        .counts("two links are left", |metrics| metrics.links() == 2)
        .await;
}

#[tokio::test]
async fn another_device_is_no_second_login() {
    let gateway = gateway("second_login: replace").await;
    let at = |device: &str| Target {
        device_id: Some(device.into()),
        ..gateway.target("ann")
    };
    let mut phone = Client::connect(&at("phone")).await;
    let mut laptop = Client::connect(&at("laptop")).await;
    phone.heartbeat("there").await;
    laptop.heartbeat("there").await;
    assert_eq!(phone.ask("1", "hi").await, Answer::Ack("hi".into()));
    let metrics = gateway.metrics().await;
    assert_eq!((metrics.links(), metrics.closed("replaced")), (2, 0));
}
