//! From clients through `mq_upstream` to Kafka: what is acknowledged is there, in order, and nothing before its time.

use std::collections::HashMap;
use std::net::SocketAddr;

use linkgate_client::Target;
use linkgate_proto::v1::fault::Effect;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_yaml::Value;

use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::common::wait::within;
use crate::services::Kafka;
use crate::services::kafka::client;

fn accepted() -> Answer {
    Answer::Ack("".into())
}

/// Starts the sample of this name with its broker at `kafka`; `more` is what its broker is told beyond that.
async fn sample(name: &str, kafka: SocketAddr, topic: &str, timeout: &str) -> Gateway {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/");
    let text = std::fs::read_to_string(format!("{folder}{name}.yaml")).unwrap();
    let text = text
        .replace("127.0.0.1:9092", &kafka.to_string())
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("timeout: 10s", timeout)
        .replace("upstream_{biz_id}", topic);
    Gateway::start(&text).await
}

async fn connect(gateway: &Gateway, user: &str) -> Client {
    let target = Target {
        biz_id: Some("orders".into()),
        ..gateway.target(user)
    };
    Client::connect(&target).await
}

/// A reader of a topic from its beginning. It is in no group, as joining and leaving one takes seconds.
fn reader(kafka: SocketAddr, topic: &str, partitions: i32) -> StreamConsumer {
    let consumer: StreamConsumer = client(kafka)
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}

fn header(record: &BorrowedMessage<'_>, name: &str) -> String {
    let mut headers = record.headers().unwrap().iter();
    let found = headers.find(|header| header.key == name).unwrap();
    String::from_utf8(found.value.unwrap().to_vec()).unwrap()
}

/// Sends a message again until it is acknowledged, as clients do.
async fn until_accepted(client: &mut Client, key: &str) {
    let mut tries = 0;
    while client.ask(key, "").await != accepted() {
        tries += 1;
        assert!(tries < 10, "{key} is not taken");
    }
}

/// Sends 200 messages for each of some users, all at once, and waits for their acknowledgements.
async fn chatter(gateway: &Gateway, users: &[&str]) {
    let mut clients = Vec::new();
    for user in users {
        clients.push(connect(gateway, user).await);
    }
    for number in 0..200 {
        for client in &mut clients {
            client.send(&number.to_string(), number.to_string()).await;
        }
    }
    for client in &mut clients {
        for _ in 0..200 {
            assert_eq!(client.answer().await.1, accepted());
        }
    }
}

#[tokio::test]
async fn each_message_is_a_record_and_a_users_records_are_in_the_order_sent() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "mq-order", 3).await;
    let gateway = sample("kafka", address, "mq-order", "timeout: 10s").await;
    let users = ["ann", "bob", "c-em", "dan"];
    chatter(&gateway, &users).await;
    let reader = reader(address, "mq-order", 3);
    let mut found: HashMap<String, Vec<usize>> = HashMap::new();
    for _ in 0..800 {
        let record = within("a record", reader.recv()).await.unwrap();
        let user = header(&record, "linkgate-user-id");
        let key = format!("orders-{}", user.replace('-', "%2D"));
        assert_eq!(record.key(), Some(key.as_bytes()));
        let body = std::str::from_utf8(record.payload().unwrap()).unwrap();
        assert_eq!(header(&record, "linkgate-key"), body);
        found.entry(user).or_default().push(body.parse().unwrap());
    }
    for user in users {
        assert_eq!(found[user], (0..200).collect::<Vec<_>>(), "{user}");
    }
}

#[tokio::test]
async fn envelopes_keep_the_order_of_each_user() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "mq-envelopes", 3).await;
    let gateway = sample(
        "kafka_batch_envelope",
        address,
        "mq-envelopes",
        "timeout: 10s",
    )
    .await;
    let users = ["ann", "bob", "cem", "dan"];
    chatter(&gateway, &users).await;
    let reader = reader(address, "mq-envelopes", 3);
    let mut found: HashMap<String, Vec<usize>> = HashMap::new();
    let (mut records, mut messages) = (0, 0);
    while messages < 800 {
        let record = within("a record", reader.recv()).await.unwrap();
        let envelope: Value = serde_yaml::from_slice(record.payload().unwrap()).unwrap();
        let msgs = envelope["msgs"].as_sequence().unwrap();
        assert_eq!(header(&record, "linkgate-messages"), msgs.len().to_string());
        records += 1;
        for m in msgs {
            messages += 1;
            let user = m["user_id"].as_str().unwrap();
            assert_eq!(record.key(), Some(format!("orders-{user}").as_bytes()));
            let number = m["key"].as_str().unwrap().parse().unwrap();
            found.entry(user.to_owned()).or_default().push(number);
        }
    }
    assert!(records < 800, "some are together");
    for user in users {
        assert_eq!(found[user], (0..200).collect::<Vec<_>>(), "{user}");
    }
}

#[tokio::test]
async fn a_dead_broker_ends_in_retryable_nacks_and_no_message_is_acknowledged_early() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    let gateway = sample("kafka", kafka.address(), "t", "timeout: 1s").await;
    let mut ann = connect(&gateway, "ann").await;
    until_accepted(&mut ann, "before").await;

    // Silent: records are sent and not answered.
    kafka.freeze();
    let silent = ann.ask("silent", "").await.nack();
    assert_eq!(silent.code, "mq.timed_out");
    assert!(silent.retryable && silent.effect() == Effect::Unknown);
    kafka.thaw();

    // Away.
    kafka.stop();
    let mut acked = vec!["before".to_owned()];
    for number in 0..5 {
        ann.send(&number.to_string(), "").await;
    }
    for _ in 0..5 {
        let (key, answer) = ann.answer().await;
        let fault = answer.nack();
        assert!(fault.retryable, "{key}: {fault:?}");
    }

    // Back: what was not confirmed is sent again.
    kafka.resume().await;
    for number in 0..5 {
        let key = number.to_string();
        until_accepted(&mut ann, &key).await;
        acked.push(key);
    }
    let reader = reader(kafka.address(), "t", 1);
    let mut found = Vec::new();
    while !acked.iter().all(|key| found.contains(key)) {
        let record = within("what is acknowledged", reader.recv()).await.unwrap();
        found.push(header(&record, "linkgate-key"));
    }
}
