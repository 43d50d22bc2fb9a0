//! Messages that come slowly, in pieces, or not at all.

use bytes::Bytes;

use super::wire::{Wire, framed, prefix};
use super::*;
use crate::reception::ConnectionLimits;

/// Reads what a caller is told in the end.
async fn status_of(answer: h2::client::ResponseFuture) -> String {
    let answer = answer.await.unwrap();
    if let Some(status) = answer.headers().get("grpc-status") {
        return status.to_str().unwrap().to_owned();
    }
    let mut body = answer.into_body();
    while body.data().await.is_some() {}
    let trailers = body.trailers().await.unwrap().expect("trailers");
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

/// Waits until what has not come whole weighs so much.
async fn unfinished(source: &Source, bytes: usize) {
    let address = source.address;
    let line = format!("caller_unfinished_bytes{{address=\"{address}\"}} {bytes}");
    source.counts(&line).await;
}

#[tokio::test]
async fn a_message_costs_what_has_come_of_it() {
    let source = serve(&config()).await;
    let mut wire = Wire::open(source.address).await;
    let mut calls = Vec::new();
    // Known by its first message, which is whole.
    let (answer, mut stream) = wire.call("Push").await;
    stream
        .send_data(framed(&request("k", &["nobody"])), true)
        .unwrap();
    assert_eq!(status_of(answer).await, "0");
    for method in ["Push", "PushStream"] {
        for _ in 0..50 {
            let (answer, mut stream) = wire.call(method).await;
            let mut begun = prefix(1 << 20);
            begun.extend_from_slice(b"12345");
            stream.send_data(begun.freeze(), false).unwrap();
            calls.push((answer, stream));
        }
    }
    unfinished(&source, 100 * 10).await;
    drop(calls);
    unfinished(&source, 0).await;
}

#[tokio::test]
async fn a_message_in_pieces_is_put_together() {
    let source = serve(&config()).await;
    let mut wire = Wire::open(source.address).await;
    let (answer, mut stream) = wire.call("Push").await;
    let push = PushRequest {
        body: vec![7; 3_000].into(),
        ..request("k", &["nobody"])
    };
    let whole = framed(&push);
    for piece in whole.chunks(1) {
        stream
            .send_data(Bytes::copy_from_slice(piece), false)
            .unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(status_of(answer).await, "0");
    unfinished(&source, 0).await;
}

#[tokio::test]
async fn a_message_larger_than_the_windows_arrives() {
    let config = GrpcSource {
        max_message: linkgate_filter::units::ByteSize::mib(8),
        ..config()
    };
    let source = serve(&config).await;
    let push = PushRequest {
        body: vec![7; 7 << 20].into(),
        ..request("k", &["nobody"])
    };
    let answer = source.client().await.push(push).await.unwrap();
    assert_eq!(statuses(answer.get_ref()), [("nobody", Status::Offline)]);
}

#[tokio::test]
async fn a_message_that_does_not_come_whole_in_time_is_given_up() {
    let config = GrpcSource {
        connections: ConnectionLimits {
            request: Duration::from_millis(100).into(),
            ..ConnectionLimits::default()
        },
        ..config()
    };
    let source = serve(&config).await;
    let mut wire = Wire::open(source.address).await;
    let (answer, mut stream) = wire.call("Push").await;
    stream.send_data(prefix(100).freeze(), false).unwrap();
    assert_eq!(status_of(answer).await, "4");
    let (answer, mut stream) = wire.call("PushStream").await;
    stream.send_data(prefix(100).freeze(), false).unwrap();
    assert_eq!(status_of(answer).await, "4");
    unfinished(&source, 0).await;
    assert!(source.reception.text().contains("reason=\"slow\"} 2"));
}

#[tokio::test]
async fn what_has_not_come_whole_has_a_bound() {
    let config = GrpcSource {
        connections: ConnectionLimits {
            unfinished: linkgate_filter::units::ByteSize::kib(200),
            ..ConnectionLimits::default()
        },
        max_message: linkgate_filter::units::ByteSize::kib(100),
        ..config()
    };
    let source = serve(&config).await;
    let mut wire = Wire::open(source.address).await;
    let mut begin = async || {
        let (answer, mut stream) = wire.call("Push").await;
        let mut begun = prefix(60 << 10);
        begun.extend_from_slice(&[7; 50 << 10]);
        stream.send_data(begun.freeze(), false).unwrap();
        (answer, stream)
    };
    let _one = begin().await;
    unfinished(&source, (50 << 10) + 5).await;
    // One connection may have half.
    let (other, _stream) = begin().await;
    assert_eq!(status_of(other).await, "8");
    let whole = source.client().await.push(request("k", &["nobody"])).await;
    assert!(whole.is_ok(), "there is room for others");
}
