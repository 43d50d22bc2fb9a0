//! Pushes to users who may be at other nodes.

use linkgate_filter::Effect;

use super::*;
use crate::push::receivers::{Need, Verdict};
use crate::push::testing::{Look, TestNode};

/// A node among others.
pub(super) fn among_others() -> Node {
    let mut node = node();
    node.links.elsewhere.is_there();
    node.router = node.router.reaching(Reach::Everywhere);
    node
}

fn all(key: &str) -> Push {
    Push {
        all: true,
        ..push(key)
    }
}

fn unconfirmed(key: &str) -> Push {
    Push {
        ack: false,
        ..push(key)
    }
}

fn to(key: &str, device: &str) -> Push {
    Push {
        device_id: Some(device.into()),
        ..push(key)
    }
}

fn no_directory() -> Verdict {
    Verdict::Unknown(Fault::gateway("directory.silent").detail("the directory does not answer"))
}

fn offline() -> Outcome {
    Outcome::Failed(Fault::client("push.offline").retryable())
}

impl Node {
    fn look(&self, need: Need) -> Look {
        self.links.elsewhere.look_of("alice", need)
    }

    fn is_quiet(&self) -> bool {
        self.links.elsewhere.next().is_none()
    }

    fn begin(&self, push: Push) -> Pending {
        let pending = self.send(push, "alice");
        assert!(pending.known().is_none(), "{:?}", pending.known());
        pending
    }
}

/// What has become of it by now.
async fn end(pending: Pending) -> (Status, String) {
    let outcome = pending.outcome(None).await;
    (outcome.status, code(&outcome).to_owned())
}

fn delivered() -> (Status, String) {
    (Status::Delivered, String::new())
}

fn unknown() -> (Status, String) {
    (Status::Rejected, "push.whereabouts_unknown".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_push_reaches_its_user_at_another_node() {
    let node = among_others();
    let pending = node.begin(push("k"));
    let look = node.look(Need::CertainIfNone);
    let there = TestNode::new(1, 7);
    look.finds(&there);
    assert_eq!(there.keys(), ["k"], "it is sent before the search is over");
    look.finds(&there);
    assert_eq!(there.keys(), ["k"], "once");
    there.ack();
    assert!(look.is_over(), "nobody needs to know more");
    assert_eq!(end(pending).await, delivered());
    assert_eq!(
        (
            node.router.unsettled(),
            node.router.metrics().unsettled.get()
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn links_here_are_sent_to_while_others_are_looked_for() {
    let node = among_others();
    let here = node.links.connect("alice", None);
    let pending = node.begin(push("k"));
    assert_eq!(here.keys(), ["k"]);
    let look = node.look(Need::Found);
    here.ack();
    assert!(look.is_over());
    assert_eq!(end(pending).await, delivered());
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_device_that_is_here_is_looked_for_nowhere_else() {
    for (all, ack) in [(false, true), (true, true), (false, false)] {
        let node = among_others();
        let desk = node.links.connect("alice", Some("desk"));
        let pending = node.begin(Push {
            all,
            ack,
            ..to("k", "desk")
        });
        desk.settle(match ack {
            true => Outcome::accepted(""),
            false => Outcome::sent(),
        });
        let outcome = pending.outcome(None).await;
        assert!(outcome.is_had());
        assert_eq!(node.links.elsewhere.looked(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_device_that_is_found_needs_to_know_no_more() {
    let node = among_others();
    let pending = node.begin(Push {
        all: true,
        ..to("k", "desk")
    });
    let look = node.look(Need::CertainIfNone);
    let there = TestNode::new(1, 7);
    look.finds(&there);
    look.ends(no_directory());
    there.ack();
    assert_eq!(end(pending).await, delivered());
}

#[tokio::test(start_paused = true)]
async fn a_user_is_offline_only_if_that_is_certain() {
    for (verdict, outcome) in [
        (Verdict::Certain, (Status::Offline, "push.offline".into())),
        (no_directory(), unknown()),
    ] {
        let node = among_others();
        let pending = node.begin(push("k"));
        node.look(Need::CertainIfNone).ends(verdict);
        let said = pending.outcome(None).await;
        assert_eq!((said.status, code(&said).to_owned()), outcome);
        let reason = said.reason.unwrap();
        assert_eq!(reason.effect, Effect::None);
        assert!(reason.retry_after.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nothing_beyond_a_node_it_knows_all() {
    let node = node();
    let router = node.router.clone().reaching(Reach::Everywhere);
    let push = router.admit(push("k")).unwrap();
    let pending = Pending::send(&router, &push, "alice");
    assert_eq!(pending.known().unwrap().status, Status::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_says_too_little_is_followed_by_one_that_has_to_know() {
    let node = among_others();
    let pending = node.begin(push("k"));
    node.look(Need::CertainIfNone).ends(Verdict::Enough);
    node.look(Need::Certain).ends(Verdict::Enough);
    assert_eq!(end(pending).await, unknown());
    let pending = node.begin(push("k"));
    drop(node.look(Need::CertainIfNone));
    assert_eq!(end(pending).await, unknown(), "whoever looked gave up");
}

#[tokio::test(start_paused = true)]
async fn all_means_the_links_of_a_certain_read() {
    let node = among_others();
    let here = node.links.connect("alice", None);
    let pending = node.begin(all("k"));
    here.ack();
    let (look, there) = (node.look(Need::Certain), TestNode::new(1, 7));
    look.finds(&there);
    look.ends(Verdict::Certain);
    there.ack();
    assert_eq!(end(pending).await, delivered());

    let pending = node.begin(all("k2"));
    node.look(Need::Certain).ends(no_directory());
    here.ack();
    let said = pending.outcome(None).await;
    assert_eq!((said.status, code(&said).to_owned()), unknown());
    assert_eq!(said.reason.unwrap().effect, Effect::Unknown);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_is_sent_once_all_links_are_known() {
    let node = among_others();
    let here = node.links.connect("alice", None);
    let pending = node.begin(unconfirmed("k"));
    here.settle(Outcome::sent());
    let look = node.look(Need::Certain);
    let there = TestNode::new(1, 7);
    look.finds(&there);
    settle_down().await;
    assert_eq!(node.router.unsettled(), 1);
    look.ends(Verdict::Certain);
    assert_eq!(end(pending).await.0, Status::Sent);
    assert_eq!(there.keys(), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_goes_once_to_a_link_here_however_often_it_is_tried() {
    let node = among_others();
    let here = node.links.connect("alice", None);
    let pending = node.begin(unconfirmed("k"));
    here.settle(Outcome::sent());
    node.look(Need::Certain).ends(no_directory());
    let said = pending.outcome(None).await;
    assert_eq!((said.status, code(&said).to_owned()), unknown());
    assert_eq!(said.reason.unwrap().effect, Effect::Unknown);
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(50)).await;
        let pending = node.begin(unconfirmed("k"));
        node.look(Need::Certain).ends(no_directory());
        assert_eq!(end(pending).await, unknown());
    }
    let pending = node.begin(unconfirmed("k"));
    node.look(Need::Certain).ends(Verdict::Certain);
    assert_eq!(end(pending).await.0, Status::Sent);
    assert!(here.keys().is_empty(), "it has had the push");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_and_may_have_left_was_sent() {
    let node = among_others();
    let pending = node.begin(unconfirmed("k"));
    let (look, there) = (node.look(Need::Certain), TestNode::new(1, 7));
    look.finds(&there);
    there.settle(Outcome::Unknown(gone().effect_unknown()));
    look.ends(Verdict::Certain);
    assert_eq!(end(pending).await.0, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_has_lost_the_user_is_no_outcome() {
    for lost in [
        Outcome::Failed(gone()),
        Outcome::Unknown(gone().effect_unknown()),
        offline(),
        Outcome::Failed(Fault::gateway("link.replaced").retryable()),
    ] {
        let node = among_others();
        let pending = node.begin(push("k"));
        let (look, old) = (node.look(Need::CertainIfNone), TestNode::new(1, 7));
        look.finds(&old);
        look.ends(Verdict::Certain);
        old.settle(lost);
        let (look, new) = (node.look(Need::CertainIfNone), TestNode::new(2, 8));
        look.finds(&old);
        look.finds(&new);
        look.ends(Verdict::Certain);
        new.ack();
        assert_eq!(end(pending).await, delivered());
        assert_eq!((old.keys().len(), new.keys().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_node_is_silent_is_offline_only_when_no_link_is_found_there_any_more() {
    let silent = Fault::gateway("push.peer_silent").retryable();
    for (lost, stands, outcome) in [
        (silent.clone(), true, unknown()),
        (
            silent,
            false,
            (Status::Offline, "push.peer_silent".to_owned()),
        ),
        // It has said that it has none: the claim that is found is about to go.
        (gone(), true, (Status::Offline, "link.gone".to_owned())),
    ] {
        let node = among_others();
        let pending = node.begin(push("k"));
        let (look, there) = (node.look(Need::CertainIfNone), TestNode::new(1, 7));
        look.finds(&there);
        look.ends(Verdict::Enough);
        there.settle(Outcome::Failed(lost));
        let look = node.look(Need::CertainIfNone);
        look.finds(&there);
        look.ends(Verdict::Enough);
        let look = node.look(Need::Certain);
        if stands {
            look.finds(&there);
        }
        look.ends(Verdict::Certain);
        assert_eq!(end(pending).await, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_at_the_same_node_is_another_way() {
    let node = among_others();
    let pending = node.begin(push("k"));
    let (look, old) = (node.look(Need::CertainIfNone), TestNode::new(1, 7));
    look.finds(&old);
    look.ends(Verdict::Certain);
    old.settle(Outcome::Failed(gone()));
    let (look, new) = (node.look(Need::CertainIfNone), TestNode::new(1, 8));
    look.finds(&new);
    new.ack();
    assert_eq!(end(pending).await, delivered());
}

#[tokio::test(start_paused = true)]
async fn a_user_who_has_left_is_looked_for_anew_before_that_is_said() {
    for (verdict, status) in [
        (Verdict::Certain, Status::Offline),
        (no_directory(), Status::Rejected),
    ] {
        let node = among_others();
        let here = node.links.connect("alice", None);
        let pending = node.begin(push("k"));
        node.look(Need::Found).ends(Verdict::Certain);
        node.links.remove(&here);
        here.settle(Outcome::Unknown(gone().effect_unknown()));
        let look = node.look(Need::CertainIfNone);
        settle_down().await;
        look.ends(verdict);
        let said = pending.outcome(None).await;
        assert_eq!(said.status, status);
        assert_eq!(said.reason.unwrap().effect, Effect::Unknown);
        assert!(node.is_quiet());
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_moves_on_and_on_is_not_called_offline() {
    let node = among_others();
    let pending = node.begin(push("k"));
    for round in 0.. {
        let Some(look) = node.links.elsewhere.next() else {
            assert_eq!(round, 1 + Flight::REROUTES as u64);
            break;
        };
        let there = TestNode::new(round, round);
        look.finds(&there);
        look.ends(Verdict::Certain);
        there.settle(Outcome::Failed(gone()));
    }
    assert_eq!(end(pending).await, unknown());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_has_no_room_is_the_outcome_only_if_no_other_takes_it() {
    let node = among_others();
    let here = node.links.connect("alice", None);
    here.refuse(Fault::gateway("link.queue_full").retryable());
    let pending = node.begin(push("k"));
    let (look, there) = (node.look(Need::Found), TestNode::new(1, 7));
    look.finds(&there);
    there.ack();
    assert_eq!(end(pending).await, delivered());
    for verdict in [Verdict::Enough, no_directory()] {
        let pending = node.begin(push("k2"));
        node.look(Need::Found).ends(verdict);
        let full = (Status::Rejected, "link.queue_full".to_owned());
        assert_eq!(end(pending).await, full);
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_never_answers_ends_with_its_push() {
    let limits = PushLimits {
        max_wait: Duration::from_secs(60).into(),
        ..PushLimits::default()
    };
    let mut node = node_with(&limits);
    node.links.elsewhere.is_there();
    node.router = node.router.reaching(Reach::Everywhere);
    let pending = node.begin(push("k"));
    let look = node.look(Need::CertainIfNone);
    assert_eq!(end(pending).await, unknown());
    assert!(look.is_over());

    let expires_at = Some(node.soon(1000));
    let said = node.begin(Push {
        expires_at,
        ..push("k2")
    });
    let said = said.outcome(None).await;
    let reason = said.reason.unwrap();
    assert_eq!(
        (&*reason.code, reason.effect),
        ("push.expired", Effect::None)
    );

    // A link here has it, and may be the only one.
    let here = node.links.connect("alice", None);
    let pending = node.begin(unconfirmed("k3"));
    here.settle(Outcome::sent());
    let said = end(pending).await;
    assert_eq!(said, (Status::Expired, "push.unsettled".to_owned()));
    look.ends(Verdict::Certain);
    settle_down().await;
    assert_eq!(node.router.unsettled(), 0);
}

#[tokio::test(start_paused = true)]
async fn holders_are_told_of_what_is_parked() {
    let node = among_others();
    let pending = node.begin(push("k"));
    let look = node.look(Need::CertainIfNone);
    let (one, two) = (TestNode::new(1, 7), TestNode::new(2, 8));
    look.finds(&one);
    for _ in 0..2 {
        node.router.park(&push("k"), "alice");
    }
    look.finds(&two);
    assert_eq!((one.parked(), two.parked()), (1, 1));
    assert_eq!(node.router.unsettled(), 0, "it counts no more");
    two.ack();
    assert_eq!(end(pending).await, delivered());
}

#[tokio::test(start_paused = true)]
async fn a_push_to_many_crosses_as_one() {
    let node = among_others();
    let push = node.router.admit(push("k")).unwrap();
    let pending = ["alice", "bob"].map(|user| Pending::send(&node.router, &push, user));
    let nodes = ["alice", "bob"].map(|user| {
        let there = TestNode::new(1, 7);
        let look = node.links.elsewhere.look_of(user, Need::CertainIfNone);
        look.finds(&there);
        there
    });
    let [one, other] = nodes.map(|node| node.take().unwrap());
    assert!(Arc::ptr_eq(&one.0, &other.0));
    for (_, receipt) in [one, other] {
        receipt.settle(Outcome::accepted(""));
    }
    for pending in pending {
        assert_eq!(end(pending).await, delivered());
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_go_in_the_order_in_which_their_user_was_looked_for() {
    let node = among_others();
    let keys: Vec<_> = (0..20).map(|number| format!("k{number}")).collect();
    let pending: Vec<_> = keys.iter().map(|key| node.begin(push(key))).collect();
    let there = TestNode::new(1, 7);
    while let Some(look) = node.links.elsewhere.next() {
        look.finds(&there);
        look.ends(Verdict::Enough);
    }
    assert_eq!(there.keys(), keys);
    drop(pending);
    for _ in keys {
        there.ack();
    }
    assert_eq!(node.router.unsettled(), 0);
}

#[tokio::test(start_paused = true)]
async fn sources_that_reach_no_further_look_nowhere_else() {
    let node = among_others();
    let here = node.router.clone().reaching(Reach::Here);
    let push = here.admit(push("k")).unwrap();
    assert_eq!(
        Pending::send(&here, &push, "alice").known().unwrap().status,
        Status::Offline
    );
    assert!(node.is_quiet());
}
