//! Changes upon changes, and changes to other pipelines: what is under way stays where it began.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::runner::Limits;
use linkgate_filter::{CloseCode, Command};

use crate::common::{Desk, Go, kit, kit_with, labels, ok, received};
use crate::{ANSWERED, PATIENCE, names, outcome};

const OTHER: &str = "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, \
                      { id: more, use: track }, { use: test_end }]";

#[tokio::test(start_paused = true)]
async fn a_late_outcome_after_two_changes_is_heard_where_the_message_began() {
    let desk = Desk::fresh();
    let kit = kit(OTHER);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let first = kit.taken();
    let (second, third) = (kit.pipeline(ANSWERED), kit.pipeline(OTHER));
    link.change(&second, PATIENCE);
    link.frame("B k2", false);
    link.change(&third, PATIENCE);
    link.frame("B k3", false);
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]), "k1 comes first");
    assert!(Arc::ptr_eq(link.chains().pipeline(), &second));

    link.advance(PATIENCE).await;
    assert_eq!(received(&mut link), ["raw nack k1 link.retired"]);
    let rest = kit.taken();
    assert_eq!(labels(&rest), ["business k2", "business k3"]);
    assert!(
        Arc::ptr_eq(link.chains().pipeline(), &third),
        "the second change begins where the first one has ended"
    );
    desk.log();
    // The tokens of the third chain are the same as those of the first.
    link.frame("B k4", false);
    first.into_iter().for_each(|m| m.settle(ok("late")));
    link.run().await;
    assert_eq!(
        received(&mut link),
        names([]),
        "nobody waits for it any more"
    );
    rest.into_iter().for_each(|m| m.settle(ok("yes")));
    link.run().await;
    let last = kit.taken();
    assert_eq!(labels(&last), ["business k4"]);
    last.into_iter().for_each(|m| m.settle(ok("yes")));
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["raw ack k2 yes", "raw ack k3 yes", "raw ack k4 yes"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_the_old_chain_looks_up_a_key_leaves_nothing_half_done() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, \
         { id: look, use: wait, config: { up: true } }, { id: dedup, use: track, config: { confirm: true } }, \
         { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.frame("B k2", false);
    link.run().await;
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.frame("B k3", false);
    link.disconnect();
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]));
    for key in ["k1", "k2"] {
        desk.go(&format!("look {key}"), Go::On);
        link.run().await;
        let taken = kit.taken();
        assert_eq!(labels(&taken), [format!("business {key}")]);
        taken.into_iter().for_each(|m| m.settle(ok("yes")));
        link.run().await;
        assert!(!link.is_finished(), "{key} is being confirmed");
    }
    assert_eq!(labels(&kit.taken()), names([]), "k3 comes after both");
    desk.go("dedup k2", Go::On);
    desk.go("dedup k1", Go::On);
    link.run().await;
    let taken = kit.taken();
    assert_eq!(labels(&taken), ["business k3"]);
    taken.into_iter().for_each(|m| m.settle(ok("yes")));
    link.run().await;
    assert!(link.is_finished());
    assert_eq!(received(&mut link), names([]));
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_pending_survives_a_change_there_and_back() {
    let _desk = Desk::fresh();
    let entries = "[{ use: keep }, { use: test_end }]";
    let with_more = "[{ id: n, use: note }, { use: keep }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    let pushed = link.push("p1", "");
    assert_eq!(received(&mut link), ["push p1"]);
    let back = Arc::clone(kit.own());
    link.business("k1", "");
    link.run().await;
    let first = kit.taken();
    // k1 keeps the first chain, so the way back has to wait.
    link.change(&kit.pipeline(with_more), PATIENCE);
    link.change(&back, PATIENCE);
    assert_eq!(received(&mut link), ["push p1"], "the middle one found it");
    first.into_iter().for_each(|m| m.settle(ok("")));
    link.run().await;
    assert!(Arc::ptr_eq(link.chains().pipeline(), &back));
    assert_eq!(received(&mut link), ["push p1"], "and so did the last");
    link.advance(Duration::from_secs(10)).await;
    assert_eq!(received(&mut link), ["push p1"], "one chain sends again");
    link.send(Command::DownstreamAck, "p1", "");
    link.run().await;
    assert_eq!(outcome(&pushed), "ok got");
}

const GATHERING: &str = "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, \
                          { use: join, config: { size: 3 } }, { use: test_end }]";

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_retired_trunk_leaves_at_once_and_before_what_comes_later() {
    let _desk = Desk::fresh();
    let kit = kit(GATHERING);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.frame("B k2", false);
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]), "gathered");
    let without = kit.pipeline(ANSWERED);
    link.change(&without, PATIENCE);
    link.frame("B k3", false);
    kit.own().retire();
    link.run().await;
    let mut joined = kit.taken();
    assert_eq!(joined.len(), 1, "k3 waits for the two before it");
    let mut joined = joined.remove(0);
    let parts = joined.take_parts();
    assert_eq!(labels(&parts), ["business k1", "business k2"]);
    parts.into_iter().for_each(|part| part.settle(ok("yes")));
    joined.settle(ok(""));
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["raw ack k1 yes", "raw ack k2 yes"],
        "no time has passed"
    );
    assert_eq!(labels(&kit.taken()), ["business k3"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_flight_in_a_retired_trunk_answers_late() {
    let _desk = Desk::fresh();
    let kit = kit(ANSWERED);
    let mut link = kit.link("alice");
    let trunk = kit.pipeline(GATHERING);
    link.change(&trunk, PATIENCE);
    for key in ["k1", "k2", "k3"] {
        link.frame(format!("B {key}"), false);
    }
    link.run().await;
    let mut joined = kit.taken().remove(0);
    let mut parts = joined.take_parts();
    link.change(kit.own(), PATIENCE);
    trunk.retire();
    let weak = Arc::downgrade(&trunk);
    drop(trunk);
    link.frame("B k4", false);
    link.run().await;
    parts.remove(0).settle(ok("in time"));
    link.run().await;
    assert_eq!(received(&mut link), ["raw ack k1 in time"]);
    assert_eq!(labels(&kit.taken()), names([]), "k2 and k3 are under way");
    link.advance(PATIENCE).await;
    assert_eq!(
        received(&mut link),
        ["raw nack k2 link.retired", "raw nack k3 link.retired"]
    );
    assert!(weak.upgrade().is_none(), "no link holds the old trunk");
    parts
        .into_iter()
        .for_each(|part| part.settle(ok("too late")));
    joined.settle(ok(""));
    link.run().await;
    assert_eq!(received(&mut link), names([]), "one answer each");
    assert_eq!(labels(&kit.taken()), ["business k4"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_another_has_replaced_changes_over_without_taking_the_session_back() {
    let _desk = Desk::fresh();
    let entries = "[{ use: keep }, { use: test_end }]";
    let kit = kit(entries);
    let mut first = kit.link("alice");
    let pushed = first.push("p1", "");
    first.business("k1", "");
    first.run().await;
    let under_way = kit.taken();
    first.change(&kit.pipeline(entries), PATIENCE);
    // Waits for k1, and begins only when the second link has the session.
    first.change(&kit.pipeline(entries), PATIENCE);
    let mut second = kit.relogin(&mut first);
    received(&mut first);
    received(&mut second);
    under_way.into_iter().for_each(|m| m.settle(ok("")));
    first.run().await;
    first.change(&kit.pipeline(entries), PATIENCE);
    first.advance(Duration::from_secs(20)).await;
    assert_eq!(received(&mut first), names([]), "p1 is not sent there");
    second.send(Command::DownstreamAck, "p1", "");
    second.run().await;
    assert_eq!(outcome(&pushed), "ok got");
    let next = second.push("p2", "");
    second.send(Command::DownstreamAck, "p2", "");
    second.run().await;
    assert_eq!(outcome(&next), "ok got");
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_link_has_under_way_keeps_its_timers() {
    let _desk = Desk::fresh();
    let kit = kit(
        "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, { use: hold }, \
         { use: keep }, { use: linger }, { use: test_end }]",
    );
    let mut first = kit.link("alice");
    first.frame("B k1", false);
    let _second = kit.relogin(&mut first);
    first.advance(Duration::from_secs(1)).await;
    let taken = kit.taken();
    assert_eq!(labels(&taken), ["business k1"]);
    first.disconnect();
    first.run().await;
    assert!(!first.is_finished(), "k1 is under way");
    taken.into_iter().for_each(|m| m.settle(ok("")));
    first.run().await;
    assert!(
        first.is_finished(),
        "timers alone do not keep a replaced link"
    );
}

#[tokio::test(start_paused = true)]
async fn changes_in_quick_succession_put_none_off_for_ever() {
    let _desk = Desk::fresh();
    let entries =
        "[{ use: keep }, { id: look, use: wait, config: { down: true } }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.push("stuck", "");
    let second = Duration::from_secs(1);
    for _ in 0..PATIENCE.as_secs() + 1 {
        link.change(&kit.pipeline(entries), PATIENCE);
        link.advance(second).await;
    }
    assert!(
        !Arc::ptr_eq(link.chains().pipeline(), kit.own()),
        "a push that stands in line is waited for once"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_an_encoder_never_lets_go_brings_the_client_back() {
    let _desk = Desk::fresh();
    let entries = "[{ id: seal, use: wait, config: { down: true, mark: nack } }, { use: codec }, \
                   { id: ack, use: track, config: { answer: true } }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let kept = kit.taken();
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.advance(PATIENCE).await;
    assert_eq!(link.close_wanted(), None, "it may still come");
    link.advance(PATIENCE).await;
    assert_eq!(received(&mut link), names([]));
    assert_eq!(link.close_wanted(), Some(CloseCode::RETIRED));
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_inside_a_filter_at_the_end_is_not_called_a_bug() {
    let desk = Desk::fresh();
    let entries = "[{ id: seal, use: wait, config: { down: true } }, { id: p, use: track, config: { pushes: true } }, \
         { id: look, use: wait, config: { down: true } }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    let pushes = [
        link.push("p1", ""),
        link.push("p2", ""),
        link.push("p3", ""),
    ];
    link.run().await;
    desk.go("look p1", Go::On);
    link.run().await;
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    // First in line for the push that stands before `look`, then for the chain.
    link.advance(PATIENCE).await;
    link.advance(PATIENCE).await;
    assert_eq!(
        outcome(&pushes[0]),
        "unknown link.retired",
        "it is tracked, and was given up"
    );
    desk.log();
    // p2 gets as far as `seal` only now, and is tracked there; p3 stays in `look`.
    desk.go("seal p1", Go::Refuse);
    desk.go("look p2", Go::On);
    link.run().await;
    assert_eq!(desk.gates(), ["look p3", "seal p2"]);
    link.advance(PATIENCE).await;
    assert_eq!(outcome(&pushes[1]), "unknown link.retired");
    assert_eq!(outcome(&pushes[2]), "unknown link.retired");
    assert_eq!(
        desk.log(),
        ["p tracked p2", "p settled p2 unknown link.retired"]
    );
    assert!(link.chains().takes_pushes());
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_track_a_push_that_was_given_up_hears_what_becomes_of_it() {
    let desk = Desk::fresh();
    let entries = "[{ id: late, use: track, config: { pushes: true } }, \
         { id: look, use: wait, config: { down: true } }, { id: p, use: track, config: { pushes: true } }, \
         { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    let pushes = [link.push("p1", ""), link.push("p2", "")];
    link.run().await;
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.advance(PATIENCE).await;
    link.advance(PATIENCE).await;
    for pushed in &pushes {
        assert_eq!(outcome(pushed), "unknown link.retired");
    }
    desk.log();
    desk.go("look p1", Go::On);
    link.run().await;
    desk.go("look p2", Go::On);
    link.run().await;
    assert_eq!(received(&mut link), ["push p1", "push p2"]);
    assert_eq!(
        desk.log(),
        [
            "late tracked p1",
            "late settled p1 ok ",
            "late tracked p2",
            "late settled p2 ok "
        ]
    );
    // Whoever pushed has heard before, and would panic here at a second outcome.
    for pushed in &pushes {
        assert_eq!(outcome(pushed), "unknown link.retired");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_old_chain_has_just_settled_counts_no_more() {
    let _desk = Desk::fresh();
    let limits = Limits {
        unsettled: 1,
        ..Limits::default()
    };
    let kit = kit_with(limits, ANSWERED);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    kit.taken().remove(0).settle(ok("one"));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let info = Arc::clone(link.info());
    let frame = linkgate_filter::Message::raw(info, "B k2", false);
    // As a link reads on in one turn.
    link.chains().tick();
    link.chains().poll(cx);
    link.chains().upstream(frame);
    link.run().await;
    assert_eq!(received(&mut link), ["raw ack k1 one"]);
    assert_eq!(labels(&kit.taken()), ["business k2"]);
}
