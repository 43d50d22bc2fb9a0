//! What a record says.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use linkgate_filter::broker::{MemoryBroker, MemoryBrokerLimits, Record};
use linkgate_filter::problem::Problems;
use linkgate_filter::runner::Declared;
use linkgate_filter::testkit::{Testkit, virtual_clock};
use linkgate_filter::{FilterType, Identity, Prepare};
use serde_json::{Value, json};

use super::rig::{self, JOINED, Link, PLAIN, kit, kit_of};
use crate::{Config, MqUpstream};

fn memory() -> Arc<MemoryBroker> {
    let limits = MemoryBrokerLimits::default();
    Arc::new(MemoryBroker::new(virtual_clock(), limits))
}

fn headers(record: &Record) -> BTreeMap<&str, &str> {
    let text = |(name, value)| {
        let (name, value): (&String, &bytes::Bytes) = (name, value);
        (name.as_str(), std::str::from_utf8(value).unwrap())
    };
    let headers = record.headers.iter();
    headers.map(|(name, value)| text((name, value))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_has_the_body_and_says_whose_it_is() {
    let broker = memory();
    let kit = kit(&broker, PLAIN, "topic: 'in.{biz_id}', trace_sampling: 1");
    let ann = Identity::new(Testkit::BIZ_ID, "a-nn").at_device("büro");
    let mut ann = Link::of(kit.open(ann, |link| link));
    ann.send(&["k"]).await;
    assert_eq!(ann.answers().await, ["k ACK"]);
    let [record] = broker.records("in.chat").try_into().unwrap();
    assert_eq!(record.key, "chat-a%2Dnn");
    assert_eq!(record.payload, "body of k");
    let headers = headers(&record);
    let text = |name| headers[name];
    assert_eq!(text("linkgate-biz-id"), "chat");
    assert_eq!(text("linkgate-user-id"), "a-nn");
    assert_eq!(text("linkgate-device-id"), "büro");
    assert_eq!(text("linkgate-key"), "k");
    assert_eq!(text("linkgate-command"), "UPSTREAM_MESSAGE");
    assert!(text("linkgate-link-id").ends_with("-1"));
    assert!(text("traceparent").starts_with("00-") && text("traceparent").ends_with("-01"));
    assert_eq!(headers.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_envelope_has_the_messages_of_one_user_in_order() {
    let broker = memory();
    let kit = kit_of(&broker, JOINED, 5, "envelope: true");
    let (mut ann, mut bob) = (rig::link(&kit, "ann"), rig::link(&kit, "bob"));
    ann.send(&["1", "2"]).await;
    bob.send(&["3"]).await;
    ann.send(&["4"]).await;
    bob.send(&["5"]).await;
    assert_eq!(ann.answers().await, ["1 ACK", "2 ACK", "4 ACK"]);
    assert_eq!(bob.answers().await, ["3 ACK", "5 ACK"]);
    let mut found = BTreeMap::new();
    for record in broker.records("chat") {
        let envelope: Value = serde_json::from_slice(&record.payload).unwrap();
        assert_eq!(
            headers(&record)["linkgate-messages"],
            envelope["msgs"].as_array().unwrap().len().to_string()
        );
        found.insert(record.key, envelope["msgs"].clone());
    }
    let keys = |user: &'static str| {
        let msgs = found[user.as_bytes()].as_array().unwrap();
        msgs.iter().map(|m| m["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys("chat-ann"), ["1", "2", "4"]);
    assert_eq!(keys("chat-bob"), ["3", "5"]);
    let first = &found[&b"chat-bob"[..]][0];
    let link_id = first["link_id"].clone();
    let expected = json!({
        "key": "3", "command": "UPSTREAM_MESSAGE", "body": BASE64_STANDARD.encode("body of 3"),
        "biz_id": "chat", "user_id": "bob", "link_id": link_id,
    });
    assert_eq!(*first, expected);
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_would_be_too_large_is_several() {
    let broker = memory();
    let kit = kit_of(&broker, JOINED, 5, "envelope: true, max_envelope: 700B");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2", "3", "4", "5"]).await;
    assert_eq!(ann.answers().await.len(), 5);
    let records = broker.records("chat");
    let mut keys = Vec::new();
    for record in &records {
        assert!(record.payload.len() <= 700);
        let envelope: Value = serde_json::from_slice(&record.payload).unwrap();
        let msgs = envelope["msgs"].as_array().unwrap();
        keys.extend(msgs.iter().map(|m| m["key"].clone()));
    }
    assert!((2..5).contains(&records.len()), "{}", records.len());
    assert_eq!(keys, ["1", "2", "3", "4", "5"]);
}

fn prepare(biz_id: &str, config: Value) -> Result<MqUpstream, Problems> {
    let declared = Declared {
        brokers: ["main".to_owned()].into(),
        ..Declared::default()
    };
    let config: Config = serde_json::from_value(config).unwrap();
    let cx = Prepare::new(biz_id, "out", &declared);
    MqUpstream::prepare(config, &cx)
}

#[test]
fn what_cannot_work_is_refused() {
    let problems = |biz_id: &str, config| {
        let problems = prepare(biz_id, config).err().unwrap();
        let paths: Vec<_> = problems
            .iter()
            .map(|problem| problem.path.to_string())
            .collect();
        paths
    };
    assert_eq!(problems("chat", json!({ "broker": "mian" })), ["broker"]);
    for topic in ["", "a b", "{user_id}", "..", &"x".repeat(250)] {
        let config = json!({ "broker": "main", "topic": topic });
        assert_eq!(problems("chat", config), ["topic"], "{topic}");
    }
    let unfit = json!({ "broker": "main" });
    assert_eq!(
        problems("schön", unfit),
        ["topic"],
        "the business makes no topic"
    );
    let all = json!({ "broker": "main", "max_envelope": "65MiB", "wait_for_room": "2h", "trace_sampling": 2.0 });
    assert_eq!(
        problems("chat", all),
        ["max_envelope", "wait_for_room", "trace_sampling"]
    );
}
