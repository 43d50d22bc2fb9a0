//! Streams that end, and nodes that are gone.

use linkgate_filter::units::ByteSize;
use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_may_have_left_and_what_has_not_are_told_apart() {
    let budget = ByteSize::kib(1);
    let (mut one, mut two) = pair(&Net::default(), &PeersConfig { budget, ..config() }).await;
    one.deliver(two.life, &push("k", 1_000), "alice", 1);
    let (_, answer) = two.delivered().await;
    // There is no room for it.
    one.deliver(two.life, &push("k", 5), "alice", 2);
    two.stop.cancel();
    let (number, outcome) = one.settled().await;
    assert_eq!((number, code(&outcome)), (1, ("push.peer_silent", false)));
    let (number, outcome) = one.settled().await;
    assert_eq!((number, code(&outcome)), (2, ("push.peer_silent", true)));
    one.loses(two.life).await;
    answer.settle(delivered());
    one.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_is_opened_again() {
    let net = Net::default();
    let address = "127.0.0.1:9903".parse().unwrap();
    let (mut one, mut two) = pair(&net, &PeersConfig::at(address)).await;
    two.stop.cancel();
    one.loses(two.life).await;
    two.loses(one.life).await;
    for _ in 0..5 {
        one.loses(two.life).await;
    }
    let mut two = Node::with(&net, 2, &PeersConfig::at(address));
    // Pauses have become no longer than this.
    let begun = Instant::now();
    one.finds(two.life).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    two.finds(one.life).await;
    one.deliver(two.life, &push("k", 5), "alice", 1);
    two.delivered().await.1.settle(delivered());
    assert_eq!(one.settled().await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_somebody_wants_to_know() {
    let net = Net::default();
    let address = "127.0.0.1:9903".parse().unwrap();
    let mut one = Node::new(&net, 1);
    let two = life(2);
    one.peers
        .know([(two, "127.0.0.1:9903".to_owned())].into_iter());
    one.peers.dial(two);
    for _ in 0..8 {
        one.loses(two).await;
    }
    let _two = Node::with(&net, 2, &PeersConfig::at(address));
    let begun = Instant::now();
    one.peers.dial(two);
    one.finds(two).await;
    assert!(begun.elapsed() <= Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_noticed_in_time() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    one.deliver(two.life, &push("k", 5), "alice", 1);
    let _kept = two.delivered().await;
    let begun = Instant::now();
    net.frozen.store(true, Ordering::Relaxed);
    assert_eq!(code(&one.settled().await.1), ("push.peer_silent", false));
    one.loses(two.life).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    two.loses(one.life).await;
    // One that takes connections and is silent.
    let begun = Instant::now();
    one.loses(two.life).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn another_life_at_the_address_is_not_taken_for_the_node() {
    let net = Net::default();
    let mut one = Node::new(&net, 1);
    let mut two = Node::new(&net, 2);
    let address = two.peers.address().to_string();
    one.peers.know([(life(9), address)].into_iter());
    one.deliver(life(9), &push("k", 5), "alice", 1);
    assert_eq!(code(&one.settled().await.1), ("push.peer_silent", true));
    one.loses(life(9)).await;
    two.finds(one.life).await;
    two.loses(one.life).await;
    one.deliver(life(99), &push("k", 5), "alice", 2);
    let (number, outcome) = one.settled().await;
    assert_eq!(
        (number, code(&outcome)),
        (2, ("push.peer_silent", true)),
        "nobody knows it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_life_speaks_with_nobody() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    two.peers.is(None);
    one.loses(two.life).await;
    two.loses(one.life).await;
    two.knows(&[&one]);
    two.peers.dial(one.life);
    two.loses(one.life).await;
    two.deliver(one.life, &push("k", 5), "alice", 1);
    assert_eq!(code(&two.settled().await.1), ("push.peer_silent", true));
    // It begins another one.
    two.peers.is(Some(life(3)));
    let address = two.peers.address().to_string();
    one.peers.know([(life(3), address)].into_iter());
    one.peers.dial(life(3));
    let found =
        async { while !matches!(one.hears().await, Heard::Answers(found) if found == life(3)) {} };
    timeout(Duration::from_secs(10), found).await.unwrap();
    two.finds(one.life).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_to_a_node_that_nobody_knows_any_more_ends_after_a_while() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    one.knows(&[]);
    tokio::time::advance(Duration::from_secs(20)).await;
    one.knows(&[&two]);
    tokio::time::advance(Duration::from_secs(20)).await;
    one.hears_nothing().await;
    one.knows(&[]);
    let begun = Instant::now();
    one.loses(two.life).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    two.loses(one.life).await;
    one.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_answers_as_long_as_any_stream_with_it_is_open() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    two.knows(&[&one]);
    two.peers.dial(one.life);
    two.finds(one.life).await;
    two.finds(one.life).await;
    one.finds(two.life).await;
    one.knows(&[]);
    let wait = timeout(Duration::from_secs(40), one.heard.recv()).await;
    assert!(wait.is_err(), "{wait:?}");
    two.stop.cancel();
    one.loses(two.life).await;
}
