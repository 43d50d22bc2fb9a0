//! The services themselves, as the other tests count on them.

use std::process::Command;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::common::wait::within;
use crate::services::kafka::client;
use crate::services::{Etcd, Kafka, Redis};

/// What the test of Redis prints, and whether it passes, where there is no Redis.
fn without_redis(ci: bool) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args([
        "--exact",
        "the_services::redis_keeps_its_data_while_it_is_away",
    ])
    .env("PATH", folder.path())
    .env_remove("CI");
    if ci {
        test.env("CI", "true");
    }
    let output = test.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("running 1 test"), "{said}");
    (output.status.success(), said)
}

#[test]
fn what_cannot_be_tested_is_said_and_fails_in_ci() {
    let (passes, said) = without_redis(false);
    assert!(passes, "{said}");
    assert!(
        said.contains("LEFT OUT: the_services::redis_keeps"),
        "{said}"
    );
    let (passes, said) = without_redis(true);
    assert!(!passes && said.contains("CI needs Redis"), "{said}");
}

#[tokio::test]
async fn redis_keeps_its_data_while_it_is_away() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    assert_eq!(redis.call("SET k v").await.unwrap(), "+OK");
    redis.stop();
    assert_eq!(redis.call("PING").await, None);
    redis.resume().await;
    assert_eq!(redis.call("STRLEN k").await.unwrap(), ":1");
}

#[tokio::test]
async fn etcd_keeps_its_data_while_it_is_away() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.post("/v3/kv/put", r#"{"key":"L2E=","value":"MQ=="}"#)
        .await
        .unwrap();
    etcd.stop();
    etcd.resume().await;
    let found = etcd
        .post("/v3/kv/range", r#"{"key":"L2E="}"#)
        .await
        .unwrap();
    assert!(found.contains(r#""value":"MQ==""#), "{found}");
}

#[tokio::test]
async fn kafka_keeps_its_data_while_it_is_away() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    let address = kafka.address();
    Kafka::topic(address, "t", 1).await;
    let producer: FutureProducer = client(address).create().unwrap();
    let record = FutureRecord::<(), _>::to("t").payload("hello");
    within("the record is stored", producer.send(record, None))
        .await
        .unwrap();
    kafka.stop();
    kafka.resume().await;
    let consumer: StreamConsumer = client(address)
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let read = within("the record is read", consumer.recv()).await.unwrap();
    assert_eq!(read.payload(), Some(&b"hello"[..]));
}
