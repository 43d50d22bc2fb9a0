//! The samples of `examples/configs` that need a service, at work on a real one.

use std::net::SocketAddr;

use linkgate_decrypt::Part;
use linkgate_filter::Direction;
use linkgate_proto::v1::presence_event::Kind;
use linkgate_proto::v1::{Command, PushReport, receiver_outcome::Status};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::common::sealed::{cipher, place};
use crate::common::wait::{until, within};
use crate::services::kafka::client;
use crate::services::{Kafka, Redis};

/// Starts the sample of this name at addresses that are free, with these in place of others.
async fn start(name: &str, places: &[(&str, String)]) -> Gateway {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/");
    let text = std::fs::read_to_string(format!("{folder}{name}.yaml")).unwrap();
    let free = ["8080", "9901", "9902"]
        .map(|port| (format!("127.0.0.1:{port}"), "127.0.0.1:0".to_owned()));
    let text = free
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to));
    let text = places
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to));
    Gateway::start(&text).await
}

/// Writes a push with the key `1` and the body `hello` for ann.
async fn write_push(kafka: SocketAddr, topic: &str) {
    let producer: FutureProducer = client(kafka).create().unwrap();
    let payload = r#"{"key":"1","biz_id":"chat","receiver_id":"ann","body":"aGVsbG8="}"#;
    let record = FutureRecord::<(), _>::to(topic).payload(payload);
    within("the push is written", producer.send(record, None))
        .await
        .unwrap();
}

async fn first_report(kafka: SocketAddr, topic: &str) -> PushReport {
    let reports: StreamConsumer = client(kafka)
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    reports.subscribe(&[topic]).unwrap();
    let report = within("a report", reports.recv()).await.unwrap();
    serde_json::from_slice(report.payload().unwrap()).unwrap()
}

#[tokio::test]
async fn dedup_redis_answers_a_retry_from_the_record() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let backend = Backend::start().await;
    let places = [
        ("127.0.0.1:50051", backend.address().to_string()),
        ("127.0.0.1:6379", redis.address().to_string()),
    ];
    let (one, other) = (
        start("dedup_redis", &places).await,
        start("dedup_redis", &places).await,
    );
    let mut ann = Client::connect(&one.target("ann")).await;
    assert_eq!(ann.ask("k", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(ann.ask("k", "hi").await, Answer::Ack("hi".into()));
    let mut again = Client::connect(&other.target("ann")).await;
    assert_eq!(again.ask("k", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(backend.calls_of("k").len(), 1);
    assert_eq!(ann.ask("typing:1", "").await, Answer::Ack("".into()));
    assert_eq!(ann.ask("typing:1", "").await, Answer::Ack("".into()));
    assert_eq!(backend.calls_of("typing:1").len(), 2);
}

#[tokio::test]
async fn push_kafka_delivers_and_reports_and_takes_pushes_by_http() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let topics = [
        "push_message_event",
        "push_parked",
        "push_dead",
        "push_report_event",
    ];
    for topic in topics {
        Kafka::topic(kafka, topic, 1).await;
    }
    let places = [("127.0.0.1:9092", kafka.to_string())];
    let gateway = start("push_kafka", &places).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;

    write_push(kafka, topics[0]).await;
    let push = ann.next().await;
    assert_eq!(
        (push.cmd(), &*push.key, &*push.body),
        (Command::DownstreamMessage, "1", &b"hello"[..])
    );
    ann.ack("1").await;
    let report = first_report(kafka, topics[3]).await;
    assert_eq!((&*report.key, report.status()), ("1", Status::Delivered));

    let body = r#"{"key":"2","biz_id":"chat","receiver_id":"ann","body":"aGVsbG8="}"#;
    let mut curl = TcpStream::connect(gateway.admin).await.unwrap();
    let request = format!(
        "POST /v1/push HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
         authorization: Bearer change-me-change-me\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    curl.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(ann.next().await.key, "2");
    ann.ack("2").await;
    let mut answer = String::new();
    within("the outcome", curl.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.contains(r#""status":"DELIVERED""#), "{answer}");
}

#[tokio::test]
async fn all_roads_lead_through_one_gateway() {
    let (Some(redis), Some(kafka)) = (Redis::start().await, Kafka::shared().await) else {
        return;
    };
    for topic in [
        "all_push",
        "all_parked",
        "all_dead",
        "all_report",
        "upstream_orders",
    ] {
        Kafka::topic(kafka, topic, 1).await;
    }
    let backend = Backend::start().await;
    let places = [
        ("127.0.0.1:50051", backend.address().to_string()),
        ("127.0.0.1:6379", redis.address().to_string()),
        ("127.0.0.1:9092", kafka.to_string()),
        ("push_message_event", "all_push".to_owned()),
        ("push_parked", "all_parked".to_owned()),
        ("push_dead", "all_dead".to_owned()),
        ("push_report_event", "all_report".to_owned()),
        ("group: linkgate", "group: all".to_owned()),
    ];
    let gateway = start("all", &places).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let mut cipher = cipher("2026-11", key, "ann");

    // Twice under one key: the service has it once, and both are answered.
    for _ in 0..2 {
        let up = place(Direction::Upstream, Part::Message, "m-1");
        let Answer::Ack(answer) = ann.ask("m-1", cipher.seal(up, b"hello").unwrap()).await else {
            panic!("the message is not taken");
        };
        let answered = place(Direction::Downstream, Part::Answer, "m-1");
        assert_eq!(cipher.open(answered, &answer).unwrap().clear, b"hello");
    }
    assert_eq!(backend.batches(), [["m-1"]]);

    let mut orders = gateway.target("eve");
    orders.biz_id = Some("orders".into());
    let mut eve = Client::connect(&orders).await;
    assert_eq!(eve.ask("o-1", "an order").await, Answer::Ack("".into()));

    write_push(kafka, "all_push").await;
    let (key, sealed) = ann.push().await;
    let down = place(Direction::Downstream, Part::Message, &key);
    assert_eq!(cipher.open(down, &sealed).unwrap().clear, b"hello");
    ann.ack(&key).await;
    let report = first_report(kafka, "all_report").await;
    assert_eq!((&*report.key, report.status()), ("1", Status::Delivered));

    until("the service hears who is there", async || {
        let events = backend.presence();
        let online = events.iter().filter(|event| event.kind() == Kind::Online);
        online.count() == 2
    })
    .await;
}
