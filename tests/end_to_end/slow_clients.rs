//! A client that does not read costs itself: its pushes, its link. Others do not notice.

use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{Command, Message, PushRequest, PushResponse};
use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};
use crate::common::metrics::Metrics;
use crate::common::push::{Caller, push, read};
use crate::common::raw::{BINARY, FIN, Raw, masked};
use crate::common::wait::within;

/// Bytes of each push to the slow client, and how many there are: more than the kernel keeps for a connection.
const BODY: usize = 64 * 1024;
const PUSHES: usize = 250;

/// Pushes all that to a user without asking for acknowledgements; the answers when all are there.
fn flood(gateway: &Gateway, user: &str) -> JoinHandle<Vec<PushResponse>> {
    let caller = Caller::new(gateway.push_address());
    let request = |n| PushRequest {
        ack: Some(false),
        body: vec![b'x'; BODY].into(),
        ..push(&format!("flood {n}"), &[user])
    };
    let requests = (0..PUSHES).map(request).collect();
    tokio::spawn(async move {
        let mut stream = caller.stream(requests).await;
        let mut answers = Vec::new();
        while let Some(answer) = within("an answer", stream.message()).await.unwrap() {
            answers.push(answer);
        }
        answers
    })
}

/// Waits until the gateway takes no more for the user.
async fn until_full(gateway: &Gateway) {
    gateway
        .counts("the slow client's queue is full", |metrics| {
            metrics.sum("linkgate_pushes_total", &[("status", "rejected")]) > 0
        })
        .await;
}

#[tokio::test]
async fn a_client_that_stops_reading_costs_only_itself() {
    let setup = Setup {
        listener: "websocket: { max_queued: 256KiB }, timeouts: { write: 60s }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut slow = Raw::link(gateway.address(), "slow").await;
    let mut quick = Client::connect(&gateway.target("quick")).await;
    quick.heartbeat("there").await;
    let mut flooded = flood(&gateway, "slow");
    until_full(&gateway).await;

    // What is taken and not yet in the kernel's hands is bounded: the queue, and one write buffer.
    let unsettled = |metrics: &Metrics| metrics.sum("linkgate_pushes_unsettled", &[]);
    gateway
        .counts("all pushes have been looked at", |metrics| {
            metrics.sum("linkgate_pushes_total", &[]) + unsettled(metrics) == PUSHES as u64
        })
        .await;
    let held = unsettled(&gateway.metrics().await) * BODY as u64;
    assert!(held < 2 << 20, "{held} bytes");

    let caller = Caller::new(gateway.push_address());
    for n in 0..100 {
        let key = n.to_string();
        assert_eq!(quick.ask(&key, "hi").await, Answer::Ack("hi".into()));
        let pushed = caller.pushing(push(&key, &["quick"]));
        assert_eq!(quick.push().await.0, key);
        quick.ack(&key).await;
        assert_eq!(pushed.await.unwrap().status(), Status::Delivered);
    }
    assert_eq!(
        gateway.metrics().await.links(),
        2,
        "the slow one had its time"
    );

    // What was taken arrives once the client reads again, in order.
    let mut came = Vec::new();
    let answers = loop {
        tokio::select! {
            frame = slow.frame() => {
                let (first, payload) = frame.expect("the link is open");
                assert_eq!(first, FIN | BINARY);
                came.push(Message::decode(&*payload).unwrap().key);
            }
            answers = &mut flooded => break answers.unwrap(),
        }
    };
    let sent = taken(&answers);
    assert!(!came.is_empty());
    assert_eq!(came, sent[..came.len()]);
}

/// The keys of the pushes that were sent; all others have to be rejected for want of room.
fn taken(answers: &[PushResponse]) -> Vec<String> {
    let mut taken = Vec::new();
    for answer in answers {
        match read(&answer.outcomes[0]) {
            (Status::Sent, "") => taken.push(answer.key.clone()),
            outcome => assert_eq!(
                outcome,
                (Status::Rejected, "link.queue_full"),
                "{}",
                answer.key
            ),
        }
    }
    assert_eq!(answers.len(), PUSHES);
    taken.sort_by_key(|key| key["flood ".len()..].parse::<usize>().unwrap());
    taken
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_too_long_is_closed_as_slow() {
    let setup = Setup {
        listener: "websocket: { max_queued: 256KiB }, timeouts: { write: 500ms }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let _slow = Raw::link(gateway.address(), "slow").await;
    let flooded = flood(&gateway, "slow");
    gateway
        .counts("it is closed as slow", |metrics| {
            metrics.closed("slow_client") == 1 && metrics.links() == 0
        })
        .await;
    // Every push has an outcome, and those that waited say that the client has gone.
    let answers = flooded.await.unwrap();
    assert_eq!(answers.len(), PUSHES);
    let (mut sent, mut gone, mut rejected) = (0, 0, 0);
    for answer in &answers {
        match read(&answer.outcomes[0]) {
            (Status::Sent, "") => sent += 1,
            (Status::Offline, "link.gone" | "push.offline") => gone += 1,
            (Status::Rejected, "link.queue_full") => rejected += 1,
            other => panic!("{}: {other:?}", answer.key),
        }
    }
    assert!(gone > 0, "{sent} sent, {rejected} rejected");

    let mut back = Client::connect(&gateway.target("slow")).await;
    assert_eq!(back.ask("1", "hi").await, Answer::Ack("hi".into()));
}

#[tokio::test]
async fn who_does_not_read_is_not_read() {
    const FRAMES: usize = 2000;
    const FRAME: usize = 32 * 1024;
    let setup = Setup {
        listener: "timeouts: { write: 1s }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let slow = Raw::link(gateway.address(), "slow").await;
    let heartbeat = Message {
        cmd: Command::Heartbeat.into(),
        body: vec![b'x'; FRAME].into(),
        ..Message::default()
    };
    let frame = masked(FIN | BINARY, &heartbeat.encode_to_vec());
    // Keeps the reading half open and unread.
    let (_unread, mut writes) = slow.0.into_split();
    let writing = tokio::spawn(async move {
        for n in 0..FRAMES {
            if writes.write_all(&frame).await.is_err() {
                return n;
            }
        }
        FRAMES
    });
    let written = within("the gateway closes the link", writing)
        .await
        .unwrap();
    assert!(written < FRAMES);
    gateway
        .counts("it is closed as slow", |metrics| {
            metrics.closed("slow_client") == 1
        })
        .await;
    // What it read is what it could answer into the kernel's buffers, and one bound of its own.
    let metrics = gateway.metrics().await;
    let held = metrics.sum("linkgate_received_bytes_total", &[])
        - metrics.sum("linkgate_sent_bytes_total", &[]);
    assert!(held <= 5 << 20, "{held} bytes were read and not answered");
}
