//! What backends are told by calls: what became of pushes from a topic, and who comes and goes.

use linkgate_proto::v1::receiver_outcome::Status;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::common::wait::until;

/// A gateway whose business `feed` writes pushes to a topic in memory, for the users of `chat`.
async fn start(backend: &Backend) -> Gateway {
    let address = backend.address();
    let yaml = format!(
        "schema: 1
node: {{ id: n1 }}
admin: {{ address: \"127.0.0.1:0\" }}
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query }}]
backends: {{ told: {{ grpc: {{ endpoints: [\"{address}\"] }} }} }}
brokers: {{ main: {{ memory: {{}} }} }}
push:
  sources: [{{ kafka: {{ broker: main, topic: pushes, group: linkgate }} }}]
  reports: {{ grpc: {{ backend: told, timeout: 1s }} }}
presence: {{ grpc: {{ backend: told }} }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters: [{{ use: codec }}, {{ use: ack_retry }}, {{ use: echo }}]
  - biz_id: feed
    listeners: [public]
    filters: [{{ use: codec }}, {{ use: ack_retry }}, {{ use: mq_upstream, config: {{ broker: main, topic: pushes }} }}]
"
    );
    Gateway::start(&yaml).await
}

fn push(key: &str, user: &str) -> String {
    format!(r#"{{"key":"{key}","biz_id":"chat","receiver_id":"{user}","body":"aGk=","ack":true}}"#)
}

#[tokio::test]
async fn reports_go_to_the_service_also_to_one_that_was_away() {
    let mut backend = Backend::start().await;
    let gateway = start(&backend).await;
    let mut target = gateway.target("feeder");
    target.biz_id = Some("feed".into());
    let mut feeder = Client::connect(&target).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;

    assert_eq!(
        feeder.ask("1", push("p1", "ann")).await,
        Answer::Ack("".into())
    );
    assert_eq!(ann.next().await.key, "p1");
    ann.ack("p1").await;
    until("the first report", async || !backend.reports().is_empty()).await;
    let report = backend.reports().remove(0);
    assert_eq!((&*report.key, report.status()), ("p1", Status::Delivered));
    assert_eq!((&*report.receiver_id, &*report.node), ("ann", "n1"));

    backend.kill();
    assert_eq!(
        feeder.ask("2", push("p2", "ann")).await,
        Answer::Ack("".into())
    );
    assert_eq!(ann.next().await.key, "p2");
    ann.ack("p2").await;
    gateway
        .counts("a report has failed", |metrics| {
            metrics.sum("linkgate_push_writes_failed_total", &[]) > 0
        })
        .await;
    let held = gateway
        .metrics()
        .await
        .sum("linkgate_push_records_held", &[]);
    assert_eq!(held, 1, "its offset waits");
    backend.revive().await;
    until("the second report", async || backend.reports().len() > 1).await;
    assert_eq!(backend.reports()[1].key, "p2");
    gateway
        .counts("the record is passed", |metrics| {
            metrics.sum("linkgate_push_records_held", &[]) == 0
        })
        .await;
}

#[tokio::test]
async fn the_service_is_told_who_comes_and_goes() {
    let backend = Backend::start().await;
    let gateway = start(&backend).await;
    let ann = Client::connect(&gateway.target("ann")).await;
    until("ann is online", async || backend.presence().len() >= 2).await;
    drop(ann);
    until("ann is offline", async || backend.presence().len() >= 3).await;
    let _bob = Client::connect(&gateway.target("bob")).await;
    until("bob is online", async || backend.presence().len() >= 4).await;
    gateway.stop().await;

    let events = backend.presence();
    let line = |event: &linkgate_proto::v1::PresenceEvent| {
        let kind = event.kind().as_str_name();
        format!("{kind} {} {}", event.user_id, event.links)
    };
    let lines: Vec<String> = events.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "NODE_STARTED  0",
            "ONLINE ann 1",
            "OFFLINE ann 0",
            "ONLINE bob 1",
            "OFFLINE bob 0"
        ],
        "and a stop tells of those who were still there"
    );
    assert!(events.iter().all(|event| event.node == "n1"));
}
