//! Batches: each message keeps its own answer, and its link's order.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use linkgate_proto::v1::fault::Effect;
use tonic::Code;

use crate::common::backend::{Backend, Reply};
use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};

/// One try, and no breaker.
const PLAIN: &str = "try_timeout: 60s, deadline: 60s, retry: { max_attempts: 1 }, breaker: { failures: 1000, min_calls: 1000 }";

async fn start(backend: &Backend, batch: &str, limits: &str) -> Gateway {
    let setup = Setup {
        backend: Some(backend.address()),
        batch: Some(batch),
        upstream: PLAIN,
        limits,
        ..Setup::default()
    };
    setup.start().await
}

/// So that a test knows what is in a batch: one shard, and batches go when they are full.
const FULL: &str = "adaptive: false, max_wait: 1m, max_messages:";
const ONE_SHARD: &str = "trunk: { shards: 1 }";

async fn clients<const N: usize>(gateway: &Gateway, users: [&str; N]) -> Vec<Client> {
    let mut clients = Vec::new();
    for user in users {
        clients.push(Client::connect(&gateway.target(user)).await);
    }
    clients
}

#[tokio::test]
async fn a_poisoned_item_fails_alone() {
    let backend = Backend::start().await;
    let gateway = start(&backend, &format!("{FULL} 4"), ONE_SHARD).await;
    backend.does(|message| match &*message.body {
        b"poison" => Reply::Fail(Code::Internal, "cannot_digest"),
        b"lost" => Reply::Forget,
        body => Reply::Answer([b"re: ", body].concat().into()),
    });
    let mut clients = clients(&gateway, ["ann", "bob", "cid"]).await;
    for (client, key, body) in [
        (0, "a1", "hi"),
        (1, "b1", "poison"),
        (2, "c1", "lost"),
        (0, "a2", "ho"),
    ] {
        clients[client].send(key, body).await;
    }
    for (key, body) in [("a1", "re: hi"), ("a2", "re: ho")] {
        let answer = Answer::Ack(body.into());
        assert_eq!(clients[0].answer().await, (key.into(), answer));
    }
    let (key, answer) = clients[1].answer().await;
    let fault = answer.nack();
    let said = (&*key, &*fault.code, fault.effect());
    assert_eq!(said, ("b1", "backend.cannot_digest", Effect::None));
    let (key, answer) = clients[2].answer().await;
    let fault = answer.nack();
    let said = (&*key, &*fault.code, fault.effect());
    assert_eq!(said, ("c1", "grpc.no_result", Effect::Unknown));
    assert!(fault.retryable);

    assert_eq!(backend.batches().len(), 1, "{:?}", backend.batches());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.events("batch", "batches"), 1);
    assert_eq!(metrics.events("batch", "messages"), 4);
    assert_eq!(metrics.events("grpc_upstream", "mismatched"), 1);
    assert_eq!(metrics.messages("accepted"), 2);
}

#[tokio::test]
async fn a_single_message_is_a_batch_too() {
    let backend = Backend::start().await;
    let gateway = start(&backend, "", "").await;
    let mut clients = clients(&gateway, ["ann"]).await;
    assert_eq!(clients[0].ask("1", "hi").await, Answer::Ack("hi".into()));
    clients[0].heartbeat("still here").await;
    assert_eq!(backend.batches(), [["1"]]);
}

#[tokio::test]
async fn a_backend_killed_under_a_batch_leaves_the_effect_of_its_items_unknown() {
    let mut backend = Backend::start().await;
    let gateway = start(&backend, &format!("{FULL} 2"), ONE_SHARD).await;
    let mut clients = clients(&gateway, ["ann", "bob"]).await;
    backend.hold();
    clients[0].send("a1", "").await;
    clients[1].send("b1", "").await;
    backend.has(2).await;
    // These wait for the ones in flight, and go when those have failed.
    clients[0].send("a2", "2").await;
    clients[1].send("b2", "2").await;
    backend.kill();
    for client in &mut clients {
        let (_, answer) = client.answer().await;
        let fault = answer.nack();
        let said = (&*fault.code, fault.effect());
        assert_eq!(said, ("grpc.unavailable", Effect::Unknown));
    }
    for client in &mut clients {
        let (_, answer) = client.answer().await;
        assert_eq!(answer.nack().code, "grpc.unreachable");
    }
    backend.revive().await;
    backend.let_go();
    for (client, key) in clients.iter_mut().zip(["a3", "b3"]) {
        client.send(key, key).await;
    }
    for (client, key) in clients.iter_mut().zip(["a3", "b3"]) {
        let answer = Answer::Ack(key.into());
        assert_eq!(client.answer().await, (key.into(), answer));
    }
}

const LINKS: usize = 1000;
const MESSAGES: usize = 5;

#[tokio::test]
async fn a_thousand_links_keep_their_order_through_batches() {
    let backend = Backend::start().await;
    let gateway = start(&backend, "max_messages: 16, max_wait: 1ms", "").await;
    backend.does(|message| match message.key.as_bytes() {
        // Some batches take longer than the next ones.
        b"1" if message.user_id.ends_with("77") => Reply::Late(std::time::Duration::from_millis(5)),
        b"2" if message.user_id.ends_with('7') => Reply::Fail(Code::Internal, "no_seven"),
        _ => Reply::Answer(message.body.clone()),
    });
    let mut clients = Vec::new();
    for n in 0..LINKS {
        clients.push(Client::connect(&gateway.target(&n.to_string())).await);
    }
    for round in 0..MESSAGES {
        for client in &mut clients {
            client.send(&round.to_string(), "").await;
        }
    }
    let answered = clients.iter_mut().map(async |client| {
        let keys: Vec<_> = (0..MESSAGES).map(|round| round.to_string()).collect();
        for key in keys {
            assert_eq!(client.answer().await.0, key);
        }
    });
    join_all(answered).await;

    let mut by_user: HashMap<String, Vec<String>> = HashMap::new();
    for call in backend.calls() {
        by_user.entry(call.user_id).or_default().push(call.key);
    }
    let sent: Vec<_> = (0..MESSAGES).map(|round| round.to_string()).collect();
    assert_eq!(by_user.len(), LINKS);
    for (user, keys) in by_user {
        assert_eq!(keys, sent, "of {user}");
    }
    assert_eq!(backend.most_of_a_link(), 1, "no link is in two batches");
    let batches = backend.batches();
    let sizes: BTreeSet<usize> = batches.iter().map(Vec::len).collect();
    assert!(*sizes.last().unwrap() <= 16, "{sizes:?}");
    assert!(batches.len() < LINKS * MESSAGES / 2, "they are gathered");
}
