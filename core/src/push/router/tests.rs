use tokio::task::{JoinHandle, yield_now};

use std::time::SystemTime;

use linkgate_filter::{Bytes, Outcome, Receipt};

use super::*;
use crate::pipeline::Standing;
use crate::push::outcome::Status;
use crate::push::testing::{Pending, TestLinks, clock};

mod bounds;
mod everywhere;
mod forwarded;
mod newer_links;
mod property;
mod whereabouts;

struct Node {
    links: Arc<TestLinks>,
    clock: Arc<dyn Clock>,
    router: Router,
}

fn node() -> Node {
    node_with(&PushLimits::default())
}

fn node_with(limits: &PushLimits) -> Node {
    let links = Arc::new(TestLinks::default());
    let clock = clock();
    let metrics = PushMetrics::default();
    let router = Router::new(Arc::clone(&links) as _, Arc::clone(&clock), limits, metrics);
    Node {
        links,
        clock,
        router,
    }
}

fn push(key: &str) -> Push {
    Push {
        key: key.into(),
        biz_id: "chat".into(),
        body: Bytes::from_static(b"hello"),
        device_id: None,
        expires_at: None,
        ack: true,
        all: false,
    }
}

impl Node {
    fn send(&self, push: Push, user_id: &str) -> Pending {
        let push = self.router.admit(push).expect("room for its bytes");
        Pending::send(&self.router, &push, user_id)
    }

    /// Sends, and waits in a task of its own.
    fn start(&self, push: Push, user_id: &str) -> JoinHandle<ReceiverOutcome> {
        tokio::spawn(self.send(push, user_id).outcome(None))
    }

    fn soon(&self, ms: u64) -> SystemTime {
        self.clock.wall() + Duration::from_millis(ms)
    }
}

/// Lets everything run that can run now; time stands still.
async fn settle_down() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn gone() -> Fault {
    Fault::client("link.gone").retryable()
}

fn code(outcome: &ReceiverOutcome) -> &str {
    outcome.reason.as_ref().map_or("", |fault| &fault.code)
}

#[tokio::test(start_paused = true)]
async fn a_push_is_delivered_when_a_device_acknowledges() {
    let node = node();
    let (phone, desk) = (
        node.links.connect("alice", Some("phone")),
        node.links.connect("alice", Some("desk")),
    );
    let bob = node.links.connect("bob", None);
    let waiting = node.start(push("k"), "alice");
    settle_down().await;
    assert!(!waiting.is_finished());
    assert_eq!(
        (phone.keys(), desk.keys()),
        (vec!["k".into()], vec!["k".into()])
    );
    assert!(bob.keys().is_empty());
    desk.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    assert_eq!(node.router.unsettled(), 0);
    phone.ack();
}

#[tokio::test(start_paused = true)]
async fn all_devices_have_to_acknowledge_where_that_is_asked() {
    let node = node();
    let phone = node.links.connect("alice", Some("phone"));
    let desk = node.links.connect("alice", Some("desk"));
    let waiting = node.start(
        Push {
            all: true,
            ..push("k")
        },
        "alice",
    );
    phone.ack();
    settle_down().await;
    assert!(!waiting.is_finished());
    desk.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn one_device_can_be_meant() {
    let node = node();
    let phone = node.links.connect("alice", Some("phone"));
    let desk = node.links.connect("alice", Some("desk"));
    let to = |device: &str| Push {
        device_id: Some(device.into()),
        ..push("k")
    };
    let waiting = node.start(to("desk"), "alice");
    desk.ack();
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    assert!(phone.keys().is_empty());
    let watch = node.send(to("watch"), "alice").outcome(None).await;
    assert_eq!(
        (watch.status, code(&watch)),
        (Status::Offline, "push.offline")
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_without_ack_is_sent_once_it_is_written() {
    let node = node();
    let link = node.links.connect("alice", None);
    let waiting = node.start(
        Push {
            ack: false,
            ..push("k")
        },
        "alice",
    );
    let message = link.take().unwrap();
    assert!(!message.ack);
    message.settle(Outcome::sent());
    let outcome = waiting.await.unwrap();
    assert_eq!(
        outcome,
        ReceiverOutcome {
            status: Status::Sent,
            reason: None
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_past_its_time_is_not_sent() {
    let node = node();
    let link = node.links.connect("alice", None);
    let expires_at = Some(node.clock.wall());
    let outcome = node.send(
        Push {
            expires_at,
            ..push("k")
        },
        "alice",
    );
    let outcome = outcome.outcome(None).await;
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Expired, "push.expired")
    );
    assert_eq!(
        outcome.reason.unwrap().effect,
        linkgate_filter::Effect::None
    );
    assert!(link.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_push_expires_while_it_is_under_way() {
    let node = node();
    let link = node.links.connect("alice", None);
    let begin = node.clock.now();
    let expires_at = Some(node.soon(1500));
    let waiting = node.start(
        Push {
            expires_at,
            ..push("k")
        },
        "alice",
    );
    let message = link.take().unwrap();
    let until = begin + Duration::from_millis(1500);
    assert_eq!(message.expires_at, Some(until), "the link knows it too");
    let outcome = waiting.await.unwrap();
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Expired, "push.expired")
    );
    assert_eq!(node.clock.now(), until);
    message.settle(Outcome::accepted(""));
    assert_eq!(node.router.unsettled(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_limit() {
    let limits = PushLimits {
        max_wait: Duration::from_secs(60).into(),
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let link = node.links.connect("alice", None);
    let begin = node.clock.now();
    let outcome = node.send(push("k"), "alice").outcome(None).await;
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Expired, "push.unsettled")
    );
    assert_eq!(node.clock.now() - begin, Duration::from_secs(60));
    assert_eq!(node.router.unsettled(), 0);
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_what_is_known_when_its_patience_ends_and_can_ask_again() {
    let node = node();
    let link = node.links.connect("alice", None);
    let until = node.clock.now() + Duration::from_secs(1);
    let first = node.send(push("k"), "alice").outcome(Some(until)).await;
    assert_eq!(
        (first.status, code(&first)),
        (Status::Expired, "push.unsettled")
    );
    let second = node.start(push("k"), "alice");
    link.ack();
    assert_eq!(second.await.unwrap().status, Status::Delivered);
    assert!(link.keys().is_empty(), "it was sent once");
}

#[tokio::test(start_paused = true)]
async fn a_key_under_way_is_joined_and_survives_its_first_caller() {
    let node = node();
    let link = node.links.connect("alice", None);
    let first = node.start(push("k"), "alice");
    let second = node.start(push("k"), "alice");
    first.abort();
    settle_down().await;
    assert_eq!(link.keys(), ["k"]);
    link.ack();
    assert_eq!(second.await.unwrap().status, Status::Delivered);

    // Settled: the same key is a new push.
    let third = node.start(push("k"), "alice");
    link.ack();
    assert_eq!(third.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_given_to_another_push_once_the_first_has_arrived() {
    let limits = PushLimits {
        remember_for: Duration::from_secs(60).into(),
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let link = node.links.connect("alice", None);
    let other = || Push {
        body: Bytes::from_static(b"something else"),
        ..push("k")
    };
    let first = node.start(push("k"), "alice");
    link.ack();
    assert_eq!(first.await.unwrap().status, Status::Delivered);
    let refused = node.send(other(), "alice").outcome(None).await;
    assert_eq!(
        (refused.status, code(&refused)),
        (Status::Rejected, "push.key_reused")
    );
    assert!(link.keys().is_empty(), "the client has not seen it");

    // Nobody has got this one: its key is free.
    let away = node.send(push("k"), "bob").outcome(None).await;
    assert_eq!(away.status, Status::Offline);
    let bob = node.links.connect("bob", None);
    let again = node.start(other(), "bob");
    bob.ack();
    assert_eq!(again.await.unwrap().status, Status::Delivered);

    tokio::time::advance(Duration::from_secs(60)).await;
    let late = node.start(other(), "alice");
    link.ack();
    assert_eq!(late.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_joined_by_another_body() {
    let node = node();
    let link = node.links.connect("alice", None);
    let first = node.start(push("k"), "alice");
    let body = Bytes::from_static(b"something else");
    let other = node
        .send(Push { body, ..push("k") }, "alice")
        .outcome(None)
        .await;
    assert_eq!(
        (other.status, code(&other)),
        (Status::Rejected, "push.key_reused")
    );
    link.ack();
    assert_eq!(first.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_why() {
    let node = node();
    let link = node.links.connect("alice", None);
    link.refuse(Fault::client("link.queue_full").retryable());
    let outcome = node.send(push("k"), "alice").outcome(None).await;
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Rejected, "link.queue_full")
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_dropped_on_its_way_is_no_mystery() {
    let node = node();
    let link = node.links.connect("alice", None);
    let waiting = node.start(push("k"), "alice");
    drop(link.take());
    let outcome = waiting.await.unwrap();
    assert_eq!(
        (outcome.status, code(&outcome)),
        (Status::Rejected, Receipt::DROPPED)
    );
}

#[tokio::test(start_paused = true)]
async fn pushes_stand_in_the_queue_in_the_order_they_were_sent() {
    let node = node();
    let link = node.links.connect("alice", None);
    let keys: Vec<_> = (0..50).map(|i| format!("k{i}")).collect();
    let pending: Vec<_> = keys
        .iter()
        .map(|key| node.send(push(key), "alice"))
        .collect();
    assert_eq!(link.keys(), keys);
    drop(pending);
    for _ in keys {
        link.ack();
    }
    settle_down().await;
    assert_eq!(node.router.unsettled(), 0, "though nobody waits for them");
}

#[tokio::test]
async fn a_push_for_a_business_that_is_not_served_is_refused() {
    let node = node();
    node.links.connect("ann", None);
    for (standing, code, retryable) in [
        (Standing::NotReady, "push.biz_not_ready", true),
        (Standing::Unknown, "push.unknown_biz", false),
    ] {
        let router = node.router.clone();
        let router = router.for_businesses(Arc::new(move |_| standing));
        let fault = router.admit(push("k")).err().unwrap();
        assert_eq!(
            (&*fault.code, fault.retry_after.is_some()),
            (code, retryable)
        );
    }
}
