//! Pushes that other nodes have taken in, for this node's links.

use super::everywhere::among_others;
use super::*;
use crate::push::receivers::{Need, Verdict};
use crate::push::testing::TestNode;

impl Node {
    /// Another node sends a push to alice's links here.
    fn forward(&self, push: Push) -> Pending {
        let push = self.router.admit(push).unwrap();
        Pending::forward(&self.router, &push, "alice")
    }
}

fn status(pending: &Pending) -> Option<Status> {
    pending.known().map(|known| known.status)
}

#[tokio::test(start_paused = true)]
async fn they_go_no_further() {
    let node = among_others();
    assert_eq!(status(&node.forward(push("k"))), Some(Status::Offline));
    let link = node.links.connect("alice", None);
    let pending = node.forward(push("k"));
    link.settle(Outcome::Failed(gone()));
    assert_eq!(pending.outcome(None).await.status, Status::Offline);
    assert_eq!(node.links.elsewhere.looked(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_again_is_not_sent_again() {
    let node = among_others();
    let link = node.links.connect("alice", None);
    let first = node.forward(push("k"));
    let second = node.forward(push("k"));
    assert_eq!(link.keys(), ["k"]);
    link.ack();
    for pending in [first, second] {
        assert_eq!(pending.outcome(None).await.status, Status::Delivered);
    }
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(status(&node.forward(push("k"))), Some(Status::Delivered));
    assert!(link.keys().is_empty());
    let body = Bytes::from_static(b"something else");
    let other = node.forward(Push { body, ..push("k") });
    assert_eq!(code(other.known().unwrap()), "push.key_reused");

    tokio::time::advance(Duration::from_secs(1)).await;
    let late = node.forward(push("k"));
    assert_eq!(link.keys(), ["k"], "that is long ago");
    link.ack();
    assert_eq!(late.outcome(None).await.status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn only_what_the_links_had_is_remembered() {
    let node = among_others();
    let link = node.links.connect("alice", None);
    link.refuse(Fault::gateway("link.queue_full").retryable());
    assert_eq!(status(&node.forward(push("k"))), Some(Status::Rejected));
    link.accept();
    let again = node.forward(push("k"));
    link.settle(Outcome::sent());
    assert_eq!(again.outcome(None).await.status, Status::Sent);
    assert_eq!(status(&node.forward(push("k"))), Some(Status::Sent));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_remembered() {
    let limits = PushLimits {
        remembered_forwarded: 0,
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let link = node.links.connect("alice", None);
    for _ in 0..2 {
        let pending = node.forward(push("k"));
        link.ack();
        assert_eq!(pending.outcome(None).await.status, Status::Delivered);
    }
}

/// Two nodes have the same push, and send it to each other.
#[tokio::test(start_paused = true)]
async fn nodes_that_forward_to_each_other_do_not_wait_in_a_circle() {
    let node = among_others();
    let link = node.links.connect("alice", None);
    let all = || Push {
        all: true,
        ..push("k")
    };
    let own = node.send(all(), "alice");
    let look = node.links.elsewhere.look_of("alice", Need::Certain);
    let there = TestNode::new(1, 7);
    look.finds(&there);
    look.ends(Verdict::Certain);
    let theirs = node.forward(all());
    assert_eq!(link.keys(), ["k"], "it joins");
    link.ack();
    assert_eq!(theirs.outcome(None).await.status, Status::Delivered);
    assert!(own.known().is_none());
    let again = node.forward(all());
    assert_eq!(
        status(&again),
        Some(Status::Delivered),
        "while it is under way"
    );
    let _ = again.outcome(None).await;
    there.ack();
    assert_eq!(own.outcome(None).await.status, Status::Delivered);
    assert_eq!(status(&node.forward(all())), Some(Status::Delivered));
    assert!(link.keys().is_empty());
    let metrics = node.router.metrics();
    assert_eq!((node.router.unsettled(), metrics.unsettled.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_forwarded_first_goes_everywhere_once_this_node_takes_it_in_too() {
    let node = among_others();
    let link = node.links.connect("alice", None);
    let theirs = node.forward(push("k"));
    let own = node.send(push("k"), "alice");
    let look = node.links.elsewhere.look_of("alice", Need::Found);
    let there = TestNode::new(1, 7);
    look.finds(&there);
    there.ack();
    assert_eq!(own.outcome(None).await.status, Status::Delivered);
    assert!(theirs.known().is_none(), "its links have said nothing");
    assert!(look.is_over());
    link.ack();
    assert_eq!(theirs.outcome(None).await.status, Status::Delivered);
    assert_eq!(node.router.unsettled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_has_come_since_is_found() {
    let node = among_others();
    let own = node.send(push("k"), "alice");
    let theirs = node.forward(push("k"));
    assert_eq!(theirs.outcome(None).await.status, Status::Offline);
    let link = node.links.connect("alice", None);
    let theirs = node.forward(push("k"));
    link.ack();
    assert_eq!(theirs.outcome(None).await.status, Status::Delivered);
    assert_eq!(own.outcome(None).await.status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_late_is_not_sent() {
    let node = among_others();
    let link = node.links.connect("alice", None);
    let push = node.router.admit(push("k")).unwrap();
    let user = ("chat".into(), "alice".into());
    struct Deaf;
    impl crate::push::Hear for Deaf {
        fn hear(&self, _: u64, _: ReceiverOutcome) {}
    }
    let (now, ear) = (node.clock.now(), Ear::new(Arc::new(Deaf), 0));
    let known = node.router.forwarded(&push, &user, Some(now), ear);
    assert_eq!(known.map(|known| known.status), Some(Status::Expired));
    assert!(link.keys().is_empty());
}
