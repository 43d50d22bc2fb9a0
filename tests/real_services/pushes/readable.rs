//! What an operator sees of a topic that cannot be read.

use super::Kafka;
use crate::common::gateway::Gateway;
use crate::common::metrics::get;
use crate::common::wait::until;

/// A node with a topic of pushes, and what its source says beside.
fn yaml(kafka: &Kafka, beside: &str) -> String {
    format!(
        "schema: 1
admin: {{ address: \"127.0.0.1:0\" }}
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query }}]
brokers: {{ main: {{ kafka: {{ bootstrap: \"{}\" }} }} }}
push: {{ sources: [{{ kafka: {{ broker: main, topic: t, group: g }}, {beside} }}] }}
pipelines: [{{ biz_id: chat, listeners: [public], filters: [{{ use: codec }}, {{ use: echo }}] }}]
",
        kafka.address()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_be_read_shows_in_readyz_and_in_a_metric() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    Kafka::topic(kafka.address(), "t_parked", 1).await;
    let gateway = Gateway::start(&yaml(&kafka, "ready: required")).await;
    let admin = gateway.admin;
    let unreadable = async || {
        let labels = [("topic", "t"), ("group", "g")];
        let metrics = gateway.metrics().await;
        metrics.sum("linkgate_push_source_unreadable", &labels)
    };
    assert_eq!(get(admin, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(unreadable().await, 0);
    kafka.stop();
    until("the node is not ready", async || {
        get(admin, "/readyz").await.0 == 503
    })
    .await;
    let (_, said) = get(admin, "/readyz").await;
    assert!(
        said.starts_with("not ready\nthe pushes of topic `t` cannot be read: "),
        "{said}"
    );
    assert_eq!(unreadable().await, 1);

    gateway.change(&yaml(&kafka, "ready: ignored"));
    let (status, said) = get(admin, "/readyz").await;
    assert!(
        status == 200 && said.starts_with("ready\nignored: the pushes of topic `t`"),
        "{status} {said}"
    );

    kafka.resume().await;
    until("the topic is read again", async || unreadable().await == 0).await;
    assert_eq!(get(admin, "/readyz").await, (200, "ready\n".to_owned()));
    gateway.stop().await;
}
