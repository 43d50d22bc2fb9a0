//! Clients that break the rules, by mistake or on purpose: the gateway lives, serves the others, and counts them.

mod frames;
mod handshakes;

use futures_util::future::join_all;
use linkgate_filter::CloseCode;
use linkgate_proto::v1::{Command, Message};
use prost::Message as _;

use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};
use crate::common::metrics::Metrics;
use crate::common::raw::{BINARY, FIN, PING, Raw, masked};

async fn gateway(listener: &str) -> Gateway {
    let setup = Setup {
        listener,
        ..Setup::default()
    };
    setup.start().await
}

/// Somebody who behaves is served.
async fn serves(gateway: &Gateway) {
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    ann.close().await;
}

async fn counts(gateway: &Gateway, what: &str, count: u64, read: impl Fn(&Metrics) -> u64) {
    let what = format!("{what} is counted {count} times");
    gateway
        .counts(&what, |metrics| read(metrics) == count)
        .await;
}

/// A good message.
fn business(key: &str) -> Vec<u8> {
    let message = Message {
        cmd: Command::UpstreamMessage.into(),
        key: key.into(),
        body: "hi".into(),
        fault: None,
    };
    message.encode_to_vec()
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_noticed() {
    let gateway = gateway("timeouts: { ping: 300ms, idle: 900ms, close: 300ms }").await;
    let mut alive = Client::connect(&gateway.target("alive")).await;
    // Its socket is open and nobody is there: pings come and are not answered.
    let mut gone = Raw::link(gateway.address(), "gone").await;
    // The library behind the other client answers pings while it waits.
    let idle = counts(&gateway, "an idle link", 1, |metrics| {
        metrics.closed("idle_timeout")
    });
    tokio::select! {
        message = alive.next() => panic!("{message:?}"),
        () = idle => {}
    }
    assert_eq!(gone.frame().await, Some((FIN | PING, Vec::new())));
    assert_eq!(gone.close_code().await, Some(CloseCode::IDLE.code()));
    assert_eq!(gateway.metrics().await.links(), 1);
    assert_eq!(alive.ask("1", "hi").await, Answer::Ack("hi".into()));
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_leave_nothing_behind() {
    let gateway = gateway("admission: { handshakes_per_ip: 256 }").await;
    let links = (0..200).map(async |n| {
        let mut raw = Raw::link(gateway.address(), &n.to_string()).await;
        let message = masked(FIN | BINARY, &business("1"));
        // Some in the middle of a frame, some with answers unread: those reset the connection.
        raw.write(&message[..message.len() - n % 2]).await;
    });
    join_all(links).await;
    counts(&gateway, "a lost link", 200, |metrics| {
        metrics.closed("lost")
    })
    .await;
    gateway
        .counts("nothing is left", |metrics| {
            metrics.links() == 0 && metrics.sum("linkgate_links_parked", &[]) == 0
        })
        .await;
    serves(&gateway).await;
}
