use linkgate_filter::units::ByteSize;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::push::outcome::Status;
use crate::push::testing::{TestLinks, clock};

mod property;

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
        let sending = self.router.admit(push).expect("room for its bytes");
        sending.to(user_id)
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
async fn a_link_that_refuses_because_it_is_gone_is_no_end() {
    let node = node();
    let old = node.links.connect("alice", None);
    old.refuse(gone());
    let waiting = node.start(push("k"), "alice");
    let new = node.links.connect("alice", None);
    settle_down().await;
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
    for _ in 0..3 * Router::REROUTES {
        let next = node.links.connect("alice", None);
        node.links.remove(&link);
        link.settle(Outcome::Failed(gone()));
        settle_down().await;
        tried += next.keys().len();
        link = next;
    }
    assert_eq!(waiting.await.unwrap().status, Status::Offline);
    assert_eq!(tried as u32, 1 + Router::REROUTES);
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
async fn one_business_cannot_take_the_room_of_another() {
    let limits = PushLimits {
        unsettled: 5,
        unsettled_per_biz: 2,
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let link = node.links.connect("alice", None);
    let pending: Vec<_> = ["a", "b"].map(|key| node.start(push(key), "alice")).into();
    let third = node.send(push("c"), "alice").outcome(None).await;
    assert_eq!(
        (third.status, code(&third)),
        (Status::Rejected, "push.overloaded")
    );
    assert!(third.reason.unwrap().retry_after.is_some());
    let other = Push {
        biz_id: "shop".into(),
        ..push("a")
    };
    let other = node.send(other, "alice").outcome(None).await;
    assert_eq!(other.status, Status::Offline, "not refused");

    node.router.limit("chat", Some(3));
    let third = node.start(push("c"), "alice");
    settle_down().await;
    assert_eq!(node.router.unsettled(), 3);
    for _ in 0..3 {
        link.ack();
    }
    for waiting in pending.into_iter().chain([third]) {
        assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    }
    node.router.limit("chat", Some(0));
    let none = node.send(push("d"), "alice").outcome(None).await;
    assert_eq!(none.status, Status::Rejected);
}

#[tokio::test(start_paused = true)]
async fn pushes_under_way_are_bounded_in_bytes_however_many_receive_them() {
    let limits = PushLimits {
        unsettled_bytes: ByteSize::kib(100),
        unsettled_bytes_per_biz: ByteSize::kib(50),
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let users = ["alice", "bob", "carol"];
    let links = users.map(|user| node.links.connect(user, None));
    let body = Bytes::from(vec![0; 30 << 10]);
    let large = |key, biz_id: &str| Push {
        body: body.clone(),
        biz_id: biz_id.into(),
        ..push(key)
    };
    let refusal = |push| {
        node.router
            .admit(push)
            .map(|_| ())
            .err()
            .map(|fault| fault.code)
    };
    let sending = node.router.admit(large("a", "chat")).unwrap();
    let pending = users.map(|user| sending.to(user));
    drop(sending);
    assert_eq!(
        refusal(large("b", "chat")).as_deref(),
        Some("push.overloaded")
    );
    assert_eq!(refusal(large("b", "shop")), None);
    for link in &links {
        link.ack();
    }
    for pending in pending {
        assert_eq!(pending.outcome(None).await.status, Status::Delivered);
    }
    settle_down().await;
    assert_eq!(node.router.flights.load(), Load::default());
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
