//! Changes of the configuration under open links.

use std::net::SocketAddr;
use std::time::Duration;

use linkgate_filter::CloseCode;
use linkgate_proto::v1::Command;
use tokio::time::Instant;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, target};
use crate::common::metrics::Metrics;
use crate::common::push::{Caller, push};
use crate::common::wait::until;

/// A node with these listeners (name and address) and this inside of `pipelines:`.
fn yaml(listeners: &[(&str, SocketAddr)], pipelines: &str, more: &str) -> String {
    let listener = |(name, address): &(&str, SocketAddr)| {
        format!("  - {{ name: {name}, address: \"{address}\", auth: insecure_query }}\n")
    };
    let listeners: String = listeners.iter().map(listener).collect();
    format!(
        "schema: 1
admin: {{ address: \"127.0.0.1:0\" }}
listeners:
{listeners}
pipelines:
{pipelines}
{more}
"
    )
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// The business `chat` on `public`, with these filters.
fn chat(filters: &str) -> String {
    format!("  - {{ biz_id: chat, listeners: [public], filters: [{filters}] }}")
}

const ECHO: &str = "{ use: codec }, { use: ack_retry }, { use: echo }";

async fn start(pipelines: &str, more: &str) -> Gateway {
    Gateway::start(&yaml(&[("public", anywhere())], pipelines, more)).await
}

fn same(pipelines: &str, more: &str) -> String {
    yaml(&[("public", anywhere())], pipelines, more)
}

#[tokio::test]
async fn a_changed_limit_holds_for_links_that_are_open() {
    let limited = |rate: &str| {
        chat(&format!(
            "{{ use: codec }}, {{ use: rate_limit, config: {{ per: link, rate: {rate}, burst: 1 }} }}, \
             {{ use: ack_retry }}, {{ use: echo }}"
        ))
    };
    let gateway = start(&limited("1000/s"), "").await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));

    assert_eq!(gateway.change(&same(&limited("1/h"), "")).links, 1);
    until("the quota is used up", async || {
        matches!(ann.ask("2", "hi").await, Answer::Limited(_))
    })
    .await;
    assert_eq!(gateway.change(&same(&limited("1000/s"), "")).links, 1);
    until("there is quota again", async || {
        ann.ask("3", "hi").await == Answer::Ack("hi".into())
    })
    .await;
}

#[tokio::test]
async fn links_go_over_at_a_pace_and_to_the_latest() {
    // Two at once, each 50 ms.
    let pace = "node: { id: a, change_over: 40/s }";
    let limited = |rate: &str| {
        chat(&format!(
            "{{ use: codec }}, {{ use: rate_limit, config: {{ per: link, rate: {rate}, burst: 100 }} }}, \
             {{ use: ack_retry }}, {{ use: echo }}"
        ))
    };
    let gateway = start(&limited("1/h"), pace).await;
    let mut clients = Vec::new();
    for user in 0..10 {
        clients.push(Client::connect(&gateway.target(&user.to_string())).await);
    }
    let begun = Instant::now();
    let changed = gateway.change(&same(&limited("2/h"), pace));
    assert_eq!(changed.links, 10);
    let changed = gateway.change(&same(&limited("3/h"), pace));
    assert!(
        changed.links >= 8,
        "those that wait go over once: {changed:?}"
    );
    for client in &mut clients {
        assert_eq!(client.ask("1", "hi").await, Answer::Ack("hi".into()));
    }
    let sum = |metrics: &Metrics, name| metrics.sum(name, &[]);
    gateway
        .counts("all are on the latest", |metrics| {
            sum(metrics, "linkgate_links_changing") == 0
                && sum(metrics, "linkgate_links_changed_total") >= 10
        })
        .await;
    assert!(begun.elapsed() >= Duration::from_millis(50 * 4), "a pace");
    let changes = sum(&gateway.metrics().await, "linkgate_links_changed_total");
    assert!(changes <= 14, "{changes}: those that waited went over once");
    assert_eq!(gateway.change(&same(&limited("3/h"), pace)).links, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn an_equal_config_changes_nothing() {
    let gateway = start(&chat(ECHO), "").await;
    let _ann = Client::connect(&gateway.target("ann")).await;
    let other_words = "  - filters: [{ use: codec, id: codec }, { use: ack_retry }, { use: echo }]
    listeners: [\"public\"]    # a comment
    biz_id: chat";
    assert_eq!(gateway.change(&same(other_words, "")).links, 0);
}

#[tokio::test]
async fn a_business_that_is_removed_lets_its_links_go_and_others_stay() {
    let shop = chat(ECHO).replace("biz_id: chat", "biz_id: shop");
    let gateway = start(&format!("{}\n{shop}", chat(ECHO)), "").await;
    let mut target = gateway.target("eve");
    target.biz_id = Some("shop".into());
    let mut eve = Client::connect(&target).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(gateway.change(&same(&chat(ECHO), "")).leaving, 1);
    assert_eq!(eve.ended().await.code, CloseCode::RETIRED);
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    let refused = Client::try_connect(&target).await;
    assert!(refused.is_err(), "the business is not served any more");
}

#[tokio::test]
async fn listeners_come_and_go_without_a_restart() {
    let gateway = start(&chat(ECHO), "").await;
    let first = gateway.address();
    let mut ann = Client::connect(&target(first, "ann")).await;
    let both = "  - { biz_id: chat, listeners: [public, second], filters: [{ use: codec }, { use: ack_retry }, { use: echo }] }";
    gateway.change(&yaml(
        &[("public", anywhere()), ("second", anywhere())],
        both,
        "",
    ));
    let second = gateway.listener("second");
    let mut bob = Client::connect(&target(second, "bob")).await;
    assert_eq!(bob.ask("1", "hi").await, Answer::Ack("hi".into()));

    let only_second = both.replace("public, second", "second");
    gateway.change(&yaml(&[("second", anywhere())], &only_second, ""));
    assert_eq!(ann.ended().await.code, CloseCode::RETIRED);
    assert_eq!(bob.ask("2", "hi").await, Answer::Ack("hi".into()));
    until("the first address is closed", async || {
        tokio::net::TcpStream::connect(first).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn pipelines_of_one_business_keep_their_limits_apart() {
    let on = |listener: &str, links: u32| {
        format!(
            "  - {{ biz_id: chat, listeners: [{listener}], limits: {{ links: {links} }}, filters: [{ECHO}] }}\n"
        )
    };
    let listeners = [("public", anywhere()), ("second", anywhere())];
    let gateway = Gateway::start(&yaml(&listeners, &on("public", 1), "")).await;
    let _ann = Client::connect(&gateway.target("ann")).await;
    let both = on("public", 1) + &on("second", 5);
    gateway.change(&yaml(&listeners, &both, ""));
    let refused = Client::try_connect(&gateway.target("bob")).await;
    assert!(refused.is_err(), "one link is the limit there");
    Client::connect(&target(gateway.listener("second"), "bob")).await;
}

#[tokio::test]
async fn an_address_goes_from_one_listener_to_another() {
    let free = std::net::TcpListener::bind(anywhere()).unwrap();
    let other = std::net::TcpListener::bind(anywhere()).unwrap();
    let (one, two) = (free.local_addr().unwrap(), other.local_addr().unwrap());
    drop((free, other));
    let only = |name: &str| chat(ECHO).replace("public", name);
    let gateway = Gateway::start(&yaml(
        &[("public", one), ("second", two)],
        &only("public"),
        "",
    ))
    .await;
    // They change places, and then one is called by another name.
    gateway.change(&yaml(
        &[("public", two), ("second", one)],
        &only("public"),
        "",
    ));
    Client::connect(&target(two, "ann")).await;
    gateway.change(&yaml(&[("other", two)], &only("other"), ""));
    Client::connect(&target(two, "ann")).await;
    until("the other address is closed", async || {
        tokio::net::TcpStream::connect(one).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_message_under_way_ends_on_the_filters_it_began_on_and_order_holds() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let at = |backend: &Backend| {
        let address = backend.address();
        format!("backends: {{ chat: {{ grpc: {{ endpoints: [\"{address}\"] }} }} }}")
    };
    let filters = "{ use: codec }, { use: ack_retry }, { use: grpc_upstream, config: { backend: chat, try_timeout: 60s, deadline: 60s } }";
    let gateway = start(&chat(filters), &at(&old)).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    old.hold();
    ann.send("1", "one").await;
    old.has(1).await;
    assert_eq!(gateway.change(&same(&chat(filters), &at(&new))).links, 1);
    ann.send("2", "two").await;
    // The heartbeat is answered by the new filters, so the second message stands before their exit.
    ann.heartbeat("h").await;
    assert!(new.calls().is_empty(), "the first one has not ended");
    old.let_go();
    assert_eq!(ann.answer().await, ("1".into(), Answer::Ack("one".into())));
    assert_eq!(ann.answer().await, ("2".into(), Answer::Ack("two".into())));
    assert_eq!((old.calls().len(), new.calls().len()), (1, 1));
}

#[tokio::test]
async fn a_pending_push_is_sent_again_by_the_filters_that_follow() {
    let filters = |initial: &str| {
        chat(&format!(
            "{{ use: codec }}, {{ use: ack_retry, config: {{ retry: {{ initial: {initial}, max: {initial} }} }} }}, {{ use: echo }}"
        ))
    };
    let source = "push: { sources: [{ grpc: { address: \"127.0.0.1:0\" } }] }";
    let gateway = start(&filters("10m"), source).await;
    let caller = Caller::new(gateway.push_address());
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let pushed = caller.pushing(push("p-1", &["ann"]));
    assert_eq!(ann.push().await.0, "p-1");
    assert_eq!(gateway.change(&same(&filters("50ms"), source)).links, 1);
    ann.ack("p-1").await;
    let outcome = pushed.await.unwrap();
    assert_eq!(outcome.status().as_str_name(), "DELIVERED");
    let next = caller.pushing(push("p-2", &["ann"]));
    for _ in 0..2 {
        let message = ann.next().await;
        assert_eq!(
            (message.cmd(), &*message.key),
            (Command::DownstreamMessage, "p-2")
        );
    }
    ann.ack("p-2").await;
    assert_eq!(next.await.unwrap().status().as_str_name(), "DELIVERED");
}

/// `standard` answers with the message itself; `v2` lets nobody send anything.
fn trial(rollout: &str) -> String {
    format!(
        "  - biz_id: chat
    listeners: [public]
    filters: [{{ use: codec }}, {{ id: limit, use: rate_limit, config: {{ per: link, rate: 1000/s, burst: 1000 }} }}, {{ use: ack_retry }}, {{ use: echo }}]
    {rollout}"
    )
}

#[tokio::test]
async fn a_version_on_trial_is_raised_step_by_step_and_taken_back() {
    let share = |percent: u32| {
        trial(&format!(
            "rollout: {{ version: v2, percent: {percent}, override: {{ limit: {{ rate: 1/h, burst: 1 }} }} }}"
        ))
    };
    let gateway = start(&trial(""), "").await;
    let mut clients = Vec::new();
    for user in 0..40 {
        let name = format!("u{user}");
        clients.push(Client::connect(&gateway.target(&name)).await);
    }
    /// Who is limited: a second message of the trial's users goes no further.
    async fn tried(clients: &mut [Client], round: u32) -> Vec<usize> {
        let mut tried = Vec::new();
        for (user, client) in clients.iter_mut().enumerate() {
            client.ask(&format!("{round}-1"), "hi").await;
            if let Answer::Limited(_) = client.ask(&format!("{round}-2"), "hi").await {
                tried.push(user);
            }
        }
        tried
    }
    assert_eq!(tried(&mut clients, 0).await, [0; 0]);
    let changed = gateway.change(&same(&share(20), ""));
    assert!((1..20).contains(&changed.links), "{changed:?}");
    let some = tried(&mut clients, 1).await;
    assert_eq!(some.len(), changed.links);
    let changed = gateway.change(&same(&share(60), ""));
    let more = tried(&mut clients, 2).await;
    assert_eq!(
        more.len(),
        some.len() + changed.links,
        "only new ones change over"
    );
    assert!(some.iter().all(|user| more.contains(user)));
    let metrics = gateway.metrics().await;
    for version in ["standard", "v2"] {
        let labels = [("version", version), ("outcome", "accepted")];
        assert!(
            metrics.sum("linkgate_messages_total", &labels) > 0,
            "{version}"
        );
    }
    assert_eq!(gateway.change(&same(&trial(""), "")).links, more.len());
    assert_eq!(tried(&mut clients, 3).await, [0; 0]);
}

#[tokio::test]
async fn a_version_that_has_proved_itself_becomes_the_standard_without_a_change_for_its_users() {
    let limit = "config: { per: link, rate: 1000/s, burst: 1000 }";
    let next =
        trial("version: v2").replace(limit, "config: { per: link, rate: 2000/s, burst: 2000 }");
    let on_trial = "rollout: { version: v2, percent: 100, override: { limit: { rate: 2000/s, burst: 2000 } } }";
    let gateway = start(&trial(on_trial), "").await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(gateway.change(&same(&next, "")).links, 0);
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
}

#[tokio::test]
async fn a_version_for_nodes_with_a_label_runs_on_those_alone() {
    let labelled = trial(
        "rollout: { version: v2, labels: [canary], override: { limit: { rate: 1/h, burst: 1 } } }",
    );
    for (node, limited) in [("canary", true), ("other", false)] {
        let more = format!("node: {{ id: n1, labels: [{node}] }}");
        let gateway = start(&labelled, &more).await;
        let mut ann = Client::connect(&gateway.target("ann")).await;
        ann.ask("1", "hi").await;
        let second = ann.ask("2", "hi").await;
        assert_eq!(matches!(second, Answer::Limited(_)), limited, "{node}");
    }
}
