//! A topic of pushes that the nodes of a cluster read as one group.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_proto::v1::PushReport;
use linkgate_proto::v1::receiver_outcome::Status;
use parking_lot::Mutex;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio_util::task::AbortOnDropHandle;

use super::users::{Users, names};
use super::world::{World, all_is_well, eventually};
use crate::services::kafka::client;
use crate::services::{Kafka, Redis};

const TOPIC: &str = "cluster";

/// The pushes of the test.
const PUSHES: usize = 50_000;

/// How each push was reported.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<BTreeMap<String, Vec<Status>>>>);

impl Reports {
    fn read(&self, kafka: SocketAddr) -> AbortOnDropHandle<()> {
        let consumer: StreamConsumer = client(kafka)
            .set("group.id", "reports")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[&format!("{TOPIC}_reports")]).unwrap();
        let reports = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let record = consumer.recv().await.unwrap();
                let report: PushReport = serde_json::from_slice(record.payload().unwrap()).unwrap();
                let mut all = reports.0.lock();
                let status = report.status();
                all.entry(report.key).or_default().push(status);
            }
        }))
    }
}

async fn write(kafka: SocketAddr, users: &[String]) {
    let producer: FutureProducer = client(kafka).create().unwrap();
    let mut under_way = Vec::new();
    for number in 0..PUSHES {
        let user = &users[number % users.len()];
        let payload = format!(
            r#"{{"key":"k{number}","biz_id":"chat","receiver_id":"{user}","body":"aGk="}}"#
        );
        let record = FutureRecord::to(TOPIC).key(user).payload(&payload);
        under_way.push(
            producer
                .send_result(record)
                .map_err(|(error, _)| error)
                .unwrap(),
        );
        if under_way.len() >= 1000 {
            for stored in under_way.drain(..) {
                stored.await.unwrap().unwrap();
            }
        }
    }
    for stored in under_way {
        stored.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_group_is_killed_and_every_push_is_delivered_wherever_its_user_goes() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    for topic in ["", "_parked", "_dead", "_reports"] {
        Kafka::topic(kafka, &format!("{TOPIC}{topic}"), 6).await;
    }
    let session = "properties: { session.timeout.ms: \"6000\" }";
    world.more =
        format!("brokers: {{ main: {{ kafka: {{ bootstrap: \"{kafka}\", {session} }} }} }}");
    world.source = format!(
        "    - kafka: {{ broker: main, topic: {TOPIC}, group: {TOPIC}, offline_after: 60s, retry_after: 1s, release_within: 2s }}
  reports: {{ kafka: {{ broker: main, topic: {TOPIC}_reports }} }}"
    );
    let [a, b, c] = world.three().await;
    let reports = Reports::default();
    let _reading = reports.read(kafka);

    let mut users = Users::default();
    let mut all = Vec::new();
    for (node, prefix) in [(&a, "ann"), (&c, "cat")] {
        let names = names(prefix, 50);
        users.log_in(node, &names).await;
        all.extend(names);
    }
    let moving = names("bob", 50);
    let mut before = Users::default();
    before.log_in(&b, &moving).await;
    all.extend(moving.iter().cloned());
    let writing = write(kafka, &all);
    let killing = async {
        eventually("some have come", async || match before.keys() {
            some if some > PUSHES / 12 => Ok(()),
            some => Err(format!("{some}")),
        })
        .await;
        b.kill();
        // Its users come back at another node.
        users.log_in(&a, &moving).await;
    };
    tokio::join!(writing, killing);
    eventually("all are reported", async || {
        let reports = reports.0.lock();
        let is_delivered = |said: &&Vec<Status>| said.contains(&Status::Delivered);
        let delivered = reports.values().filter(is_delivered).count();
        (delivered == PUSHES)
            .then_some(())
            .ok_or_else(|| format!("{delivered} of {PUSHES} delivered"))
    })
    .await;
    all_is_well(&[a, c], 2).await;
    let reports = reports.0.lock();
    let otherwise: Vec<_> = reports
        .iter()
        .filter(|(_, said)| said.iter().any(|status| *status != Status::Delivered))
        .collect();
    assert!(otherwise.is_empty(), "{otherwise:?}");
    let lost: HashSet<_> = reports
        .keys()
        .filter(|key| !users.has(key) && !before.has(key))
        .collect();
    assert!(lost.is_empty(), "delivered, and never seen: {lost:?}");
    let again = reports.values().filter(|said| said.len() > 1).count();
    println!("of {PUSHES} pushes {again} were reported more than once");
}
