//! The filter in the production runner, in virtual time, on a store in memory that the tests can make fail.

mod configs;
mod freed;
mod property;
mod rig;

use std::time::Duration;

use linkgate_filter::store::MemoryStoreLimits;
use linkgate_filter::{Fault, Outcome};

use self::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

fn unknown() -> Outcome {
    Outcome::Unknown(Fault::backend("backend.timeout").effect_unknown())
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_an_accepted_message_is_answered_and_not_repeated() {
    let rig = Rig::new("");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", Outcome::accepted("hi"));
    assert_eq!(ann.answers().await, ["k ACK hi"]);
    ann.send("k").await;
    assert_eq!(ann.answers().await, ["k ACK hi"]);
    assert!(node.taken().is_empty());
    // Another node, another link, the same user.
    let other = rig.node();
    let mut again = other.link("ann");
    again.send("k").await;
    assert_eq!(again.answers().await, ["k ACK hi"]);
    let mut bob = node.link("bob");
    bob.send("k").await;
    assert_eq!(node.taken(), ["k"], "a key belongs to its user");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_remembered_for_so_long() {
    let rig = Rig::new("remember_for: 60s");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", Outcome::accepted("hi"));
    ann.run().await;
    tokio::time::sleep(SECOND * 59).await;
    ann.send("k").await;
    assert!(node.taken().is_empty());
    tokio::time::sleep(SECOND * 2).await;
    ann.send("k").await;
    assert_eq!(node.taken(), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn retries_in_flight_share_the_outcome_on_a_node_and_are_refused_on_another() {
    let rig = Rig::new("max_waiting: 1");
    let (node, other) = (rig.node(), rig.node());
    let (mut one, mut two, mut three) = (node.link("ann"), node.link("ann"), node.link("ann"));
    let mut far = other.link("ann");
    for link in [&mut one, &mut two, &mut three, &mut far] {
        link.send("k").await;
    }
    assert_eq!(three.answers().await, ["k NACK dedup.in_flight retry"]);
    assert_eq!(far.answers().await, ["k NACK dedup.in_flight retry"]);
    node.settle("k", Outcome::accepted("hi"));
    assert_eq!(one.answers().await, ["k ACK hi"]);
    assert_eq!(two.answers().await, ["k ACK hi"]);
    assert_eq!(far.retry("k").await, ["k ACK hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_frees_its_key() {
    let rig = Rig::new("");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", Outcome::Failed(Fault::client("no")));
    assert_eq!(ann.answers().await, ["k NACK no"]);
    assert_eq!(rig.keys(), 0);
    ann.send("k").await;
    assert_eq!(node.taken(), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_retried_or_refused_by_policy() {
    let rig = Rig::new("on_unknown: retry");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", unknown());
    assert_eq!(
        ann.answers().await,
        ["k NACK backend.timeout retry unknown"]
    );
    ann.send("k").await;
    assert_eq!(node.taken(), ["k"]);

    let rig = Rig::new("on_unknown: refuse, remember_for: 60s");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", unknown());
    assert_eq!(ann.answers().await, ["k NACK backend.timeout unknown"]);
    assert_eq!(ann.retry("k").await, ["k NACK dedup.unknown unknown"]);
    tokio::time::sleep(SECOND * 61).await;
    ann.send("k").await;
    assert_eq!(node.taken(), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_renewed_while_its_message_is_unsettled_even_without_its_client() {
    let rig = Rig::new("reserve_for: 30s");
    let (node, other) = (rig.node(), rig.node());
    let mut ann = node.link("ann");
    ann.send("k").await;
    ann.disconnect().await;
    for _ in 0..10 {
        tokio::time::sleep(SECOND * 15).await;
        ann.run().await;
    }
    let mut far = other.link("ann");
    assert_eq!(far.retry("k").await, ["k NACK dedup.in_flight retry"]);
    node.settle("k", Outcome::accepted("hi"));
    ann.run_for(SECOND * 11).await;
    assert!(ann.is_finished(), "the chain ends after its last receipt");
    assert_eq!(far.retry("k").await, ["k ACK hi"]);
}

#[tokio::test(start_paused = true)]
async fn the_reservation_of_a_dead_node_ends_by_itself() {
    let rig = Rig::new("reserve_for: 30s");
    let (node, other) = (rig.node(), rig.node());
    let mut ann = node.link("ann");
    ann.send("k").await;
    // Nobody drives the link any more.
    tokio::time::sleep(SECOND * 31).await;
    let mut far = other.link("ann");
    far.send("k").await;
    assert_eq!(other.taken(), ["k"]);
    drop(ann);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_it_is_recorded() {
    let rig = Rig::new("confirm_within: 5s");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    rig.store_fails(true);
    node.settle("k", Outcome::accepted("hi"));
    tokio::time::sleep(SECOND).await;
    assert!(ann.answers().await.is_empty());
    rig.store_fails(false);
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(ann.answers().await, ["k ACK hi"]);

    ann.send("k2").await;
    rig.store_fails(true);
    node.settle("k2", Outcome::accepted("hi"));
    ann.run_for(SECOND * 6).await;
    assert_eq!(
        ann.answers().await,
        ["k2 NACK dedup.unconfirmed retry unknown"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_refuses_or_lets_pass_by_policy() {
    let rig = Rig::new("");
    rig.store_fails(true);
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    assert_eq!(ann.answers().await, ["k NACK dedup.store.timed_out retry"]);
    assert!(node.taken().is_empty());

    let rig = Rig::new("on_store_failure: pass");
    rig.store_fails(true);
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    ann.send("k").await;
    node.settle("k", Outcome::accepted("hi"));
    assert_eq!(
        ann.answers().await,
        ["k ACK hi", "k ACK hi"],
        "this node knows of both"
    );
}

#[tokio::test(start_paused = true)]
async fn classes_of_messages_are_not_looked_at() {
    let rig = Rig::new(
        "replayable: [{ key_prefix: 't:' }, { field: /type, equals: typing }, { field: /to/kind, equals: '7' }]",
    );
    let node = rig.node();
    let mut ann = node.link("ann");
    for (key, body) in [
        ("t:1", "x"),
        ("k", r#"{"type":"typing"}"#),
        ("l", r#"{"type":"text"}"#),
        ("m", "no JSON"),
        ("n", r#"{"to":{"kind":7}}"#),
        ("o", r#"{"to":{"kind":[7]}}"#),
    ] {
        ann.send_body(key, body).await;
        node.settle(key, Outcome::accepted(""));
        ann.answers().await;
        ann.send_body(key, body).await;
    }
    assert_eq!(node.taken(), ["t:1", "k", "n"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_may_belong_to_the_business_and_names_cannot_be_mixed_up() {
    let rig = Rig::new("scope: biz");
    let node = rig.node();
    let (mut ann, mut bob) = (node.link("ann"), node.link("bob"));
    ann.send("k").await;
    node.settle("k", Outcome::accepted("hi"));
    assert_eq!(ann.answers().await, ["k ACK hi"]);
    assert_eq!(bob.retry("k").await, ["k ACK hi"]);

    let rig = Rig::new("");
    let node = rig.node();
    let (mut one, mut two) = (node.link("a:b"), node.link("a"));
    one.send("c").await;
    two.send("b:c").await;
    assert_eq!(node.taken(), ["c", "b:c"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_large_to_remember_is_left_out_of_the_retry() {
    let rig = Rig::new("max_answer: 8B");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("k").await;
    node.settle("k", Outcome::accepted("far too large"));
    assert_eq!(ann.answers().await, ["k ACK far too large"]);
    assert_eq!(ann.retry("k").await, ["k ACK "]);
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_on_record_even_if_somebody_has_reserved_the_key_since() {
    let rig = Rig::new("reserve_for: 30s");
    let (node, other) = (rig.node(), rig.node());
    let (mut ann, mut far) = (node.link("ann"), other.link("ann"));
    ann.send("k").await;
    // The node is held up for longer than its reservation lasts, and another one takes the key.
    tokio::time::sleep(SECOND * 31).await;
    far.send("k").await;
    assert_eq!(other.taken(), ["k"]);
    node.settle("k", Outcome::accepted("hi"));
    assert_eq!(ann.answers().await, ["k ACK hi"]);
    let failed = Fault::client("backend.full").retryable();
    other.settle("k", Outcome::Failed(failed));
    assert_eq!(far.answers().await, ["k NACK backend.full retry"]);
    assert_eq!(far.retry("k").await, ["k ACK hi"], "the key was acked");
    assert!(other.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_may_have_been_written_does_not_stay_behind() {
    let rig = Rig::new("reserve_for: 30s");
    let node = rig.node();
    let mut ann = node.link("ann");
    rig.store_loses_answers(true);
    rig.store_fails(true);
    assert_eq!(ann.retry("k").await, ["k NACK dedup.store.timed_out retry"]);
    rig.store_loses_answers(false);
    assert_eq!(rig.keys(), 1);
    ann.run_for(SECOND).await;
    rig.store_fails(false);
    ann.run_for(SECOND * 2).await;
    assert_eq!(rig.keys(), 0);
    ann.send("k").await;
    assert_eq!(
        node.taken(),
        ["k"],
        "no retry waits for the reservation to end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_that_fills_the_store_keeps_no_other_from_it() {
    let limits = MemoryStoreLimits {
        entries: 40,
        bytes: 1 << 20,
    };
    // Also with keys of the business: they are on the account of the user that sent them.
    for scope in ["", "scope: biz"] {
        let rig = Rig::with_store(scope, limits);
        let node = rig.node();
        let mut ann = node.link("ann");
        for n in 0..100 {
            ann.send(&format!("a{n}")).await;
        }
        let answers = ann.answers().await;
        let last = answers.last().map(String::as_str);
        assert_eq!(last, Some("a99 NACK dedup.store.full retry"));
        let (mut bob, mut eve) = (node.link("bob"), node.link_of("mail", "eve"));
        for n in 0..4 {
            bob.send(&format!("b{n}")).await;
            eve.send(&format!("e{n}")).await;
        }
        let refused = [bob.answers().await, eve.answers().await].concat();
        assert!(refused.is_empty(), "{scope}: {refused:?}");
    }
}
