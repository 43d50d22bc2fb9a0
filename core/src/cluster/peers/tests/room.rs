//! Credit, and nodes that are slow.

use linkgate_filter::units::ByteSize;

use super::*;
use crate::cluster::config::PeersQueue;

fn small() -> PeersConfig {
    PeersConfig {
        budget: ByteSize::kib(16),
        max_body: ByteSize::kib(16),
        ..config()
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_waits_in_its_order() {
    let (mut one, mut two) = pair(&Net::default(), &small()).await;
    for number in 1..=5 {
        one.deliver(two.life, &push("k", 7 << 10), "alice", number);
    }
    let mut answers = vec![two.delivered().await, two.delivered().await];
    two.hears_nothing().await;
    for number in 1..=5 {
        let (forwarded, answer) = answers.remove(0);
        assert_eq!(forwarded.claims, [claim(two.life, number)]);
        answer.settle(delivered());
        assert_eq!(one.settled().await.0, number);
        if number <= 3 {
            answers.push(two.delivered().await);
        }
        two.hears_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_alone_may_be_larger_than_the_credit() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &small()).await;
    let mut three = Node::new(&net, 3);
    three.knows(&[&two]);
    three.peers.dial(two.life);
    three.finds(two.life).await;
    two.finds(three.life).await;
    // 16 KiB for two of them.
    one.deliver(two.life, &push("a", 12 << 10), "alice", 1);
    one.deliver(two.life, &push("b", 1), "alice", 2);
    let (_, answer) = two.delivered().await;
    two.hears_nothing().await;
    three.deliver(two.life, &push("c", 1), "alice", 3);
    two.delivered().await.1.settle(delivered());
    three.settled().await;
    answer.settle(delivered());
    assert_eq!(one.settled().await.0, 1);
    two.delivered().await.1.settle(delivered());
    assert_eq!(one.settled().await.0, 2);
    // The other one leaves: there is room for two.
    three.stop.cancel();
    two.loses(three.life).await;
    for number in 4..=5 {
        one.deliver(two.life, &push("d", 7 << 10), "alice", number);
    }
    let (_first, _second) = (two.delivered().await, two.delivered().await);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded_and_one_slow_node_stops_nobody_else() {
    let net = Net::default();
    let queue = PeersQueue {
        max: 3,
        bytes: ByteSize::mib(1),
    };
    let mut one = Node::with(&net, 1, &PeersConfig { queue, ..config() });
    let (mut two, mut three) = (Node::with(&net, 2, &small()), Node::new(&net, 3));
    one.knows(&[&two, &three]);
    let large = || push("k", 16 << 10);
    let _answer = {
        one.deliver(two.life, &large(), "alice", 1);
        one.finds(two.life).await;
        two.finds(one.life).await;
        two.delivered().await
    };
    for number in 2..=4 {
        one.deliver(two.life, &large(), "alice", number);
    }
    one.hears_nothing().await;
    one.deliver(two.life, &large(), "alice", 5);
    let (number, outcome) = one.settled().await;
    assert_eq!((number, code(&outcome)), (5, ("push.peer_busy", true)));
    assert!(outcome.fault().unwrap().retry_after.is_some());
    one.deliver(three.life, &large(), "bob", 6);
    one.finds(three.life).await;
    three.finds(one.life).await;
    three.delivered().await.1.settle(delivered());
    assert_eq!(one.settled().await.0, 6);
}

#[tokio::test(start_paused = true)]
async fn the_line_counts_a_body_once() {
    let net = Net::default();
    let queue = PeersQueue {
        max: 100,
        bytes: ByteSize::kib(40),
    };
    let mut one = Node::with(&net, 1, &PeersConfig { queue, ..config() });
    let two = Node::with(&net, 2, &small());
    one.knows(&[&two]);
    let push = push("k", 15 << 10);
    let other = || super::push("o", 15 << 10);
    for number in 1..=20 {
        one.deliver(two.life, &push, "alice", number);
    }
    one.deliver(two.life, &other(), "alice", 21);
    assert!(one.heard.try_recv().is_err());
    one.deliver(two.life, &other(), "alice", 22);
    let (number, outcome) = one.settled().await;
    assert_eq!((number, code(&outcome).0), (22, "push.peer_busy"));
}

#[tokio::test(start_paused = true)]
async fn a_push_that_the_other_node_does_not_take_ends_alone() {
    let net = Net::default();
    let (mut one, mut two) = (Node::new(&net, 1), Node::with(&net, 2, &small()));
    one.knows(&[&two]);
    let large = push("k", 17 << 10);
    one.deliver(two.life, &large, "alice", 1);
    one.deliver(two.life, &push("k", 1), "alice", 2);
    let (number, outcome) = one.settled().await;
    assert_eq!((number, code(&outcome)), (1, ("push.too_large", true)));
    one.finds(two.life).await;
    two.finds(one.life).await;
    two.delivered().await.1.settle(delivered());
    assert_eq!(one.settled().await.0, 2);
    one.deliver(two.life, &large, "alice", 3);
    assert_eq!(code(&one.settled().await.1).0, "push.too_large");
    let long = "a".repeat(2_000);
    one.deliver(two.life, &push("k", 1), &long, 4);
    assert_eq!(code(&one.settled().await.1).0, "push.too_large");
}
