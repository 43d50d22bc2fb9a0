//! What happens when links go while a push is under way.

use linkgate_filter::Effect;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_push_follows_its_user_to_a_newer_link() {
    for outcome in [
        Outcome::Failed(gone()),
        Outcome::Unknown(gone().effect_unknown()),
        Outcome::Failed(Fault::gateway("link.replaced").retryable()),
        Outcome::Failed(Fault::gateway("link.retired").retryable()),
    ] {
        let node = node();
        let old = node.links.connect("alice", None);
        let waiting = node.start(push("k"), "alice");
        let new = node.links.connect("alice", None);
        node.links.remove(&old);
        old.settle(outcome);
        settle_down().await;
        assert_eq!(new.keys(), ["k"]);
        new.ack();
        assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_link_has_sent_may_have_arrived_whatever_the_newer_one_says() {
    for (sent, effect) in [(true, Effect::Unknown), (false, Effect::None)] {
        let node = node();
        let old = node.links.connect("alice", None);
        let waiting = node.start(push("k"), "alice");
        let new = node.links.connect("alice", None);
        new.refuse(Fault::gateway("link.queue_full").retryable());
        node.links.remove(&old);
        old.settle(match sent {
            true => Outcome::Unknown(gone().effect_unknown()),
            false => Outcome::Failed(gone()),
        });
        let outcome = waiting.await.unwrap();
        assert_eq!(outcome.status, Status::Rejected);
        assert_eq!(outcome.reason.unwrap().effect, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_left_for_a_newer_one_counts_no_more() {
    let node = node();
    let (phone, desk) = (
        node.links.connect("alice", Some("phone")),
        node.links.connect("alice", Some("desk")),
    );
    let all = Push {
        all: true,
        ..push("k")
    };
    let waiting = node.start(all, "alice");
    desk.ack();
    node.links.remove(&phone);
    let phone_again = node.links.connect("alice", Some("phone"));
    phone.settle(Outcome::Failed(gone()));
    settle_down().await;
    phone_again.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    assert!(desk.keys().is_empty(), "it had the push already");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_refuses_because_it_is_gone_is_as_none() {
    let node = node();
    let old = node.links.connect("alice", Some("phone"));
    old.refuse(gone());
    let outcome = node.send(push("k1"), "alice").outcome(None).await;
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Offline, "link.gone")
    );
    let new = node.links.connect("alice", Some("desk"));
    let waiting = node.start(push("k2"), "alice");
    new.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn what_a_former_pipeline_gave_up_is_sent_through_the_present_one() {
    let node = node();
    let link = node.links.connect("alice", None);
    let waiting = node.start(push("k"), "alice");
    let retired = Fault::gateway("link.retired").retryable();
    link.settle(Outcome::Failed(retired));
    settle_down().await;
    assert_eq!(link.keys(), ["k"]);
    link.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_newer_link_the_user_is_offline() {
    let node = node();
    let link = node.links.connect("alice", None);
    let waiting = node.start(push("k"), "alice");
    node.links.remove(&link);
    link.settle(Outcome::Failed(gone()));
    let outcome = waiting.await.unwrap();
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Offline, "link.gone")
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_without_ack_that_may_have_arrived_is_not_sent_again() {
    let node = node();
    let old = node.links.connect("alice", None);
    let waiting = node.start(
        Push {
            ack: false,
            ..push("k")
        },
        "alice",
    );
    let new = node.links.connect("alice", None);
    node.links.remove(&old);
    old.settle(Outcome::Unknown(gone().effect_unknown()));
    assert_eq!(waiting.await.unwrap().status, Status::Offline);
    assert!(new.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_search_for_newer_links_ends() {
    let node = node();
    let mut link = node.links.connect("alice", None);
    let waiting = node.start(push("k"), "alice");
    let mut tried = 1;
    for _ in 0..3 * Flight::REROUTES {
        let next = node.links.connect("alice", None);
        node.links.remove(&link);
        link.settle(Outcome::Failed(gone()));
        settle_down().await;
        tried += next.keys().len();
        link = next;
    }
    assert_eq!(waiting.await.unwrap().status, Status::Offline);
    assert_eq!(tried as u32, 1 + Flight::REROUTES);
}
