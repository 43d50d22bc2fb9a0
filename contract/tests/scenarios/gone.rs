//! What goes on when the client has gone, and how a chain ends.

use crate::common::{Desk, Go, kit, labels, ok, received};
use crate::{ANSWERED, PATIENCE, names, outcome};
use linkgate_filter::Command;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_dedup_confirms_leaves_no_key_half_reserved() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, \
         { id: dedup, use: track, config: { confirm: true } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    desk.log();
    kit.taken().pop().unwrap().settle(ok("yes"));
    link.run().await;
    assert_eq!(desk.log(), ["dedup settled k1 ok yes"]);
    link.disconnect();
    link.run().await;
    assert!(!link.is_finished(), "the confirmation is under way");
    desk.go("dedup k1", Go::On);
    link.run().await;
    assert_eq!(
        desk.log(),
        ["dedup confirmed k1 On", "ack settled k1 ok yes"]
    );
    assert!(link.is_finished());
    assert_eq!(
        received(&mut link),
        names([]),
        "nobody is there to be answered"
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_that_comes_down_after_the_client_has_gone_is_not_called_sent() {
    let desk = Desk::fresh();
    let kit = kit("[{ id: look, use: wait, config: { down: true } }, { use: test_end }]");
    let mut link = kit.link("alice");
    let pushed = link.push("p1", "");
    link.run().await;
    link.disconnect();
    desk.go("look p1", Go::On);
    link.run().await;
    assert_eq!(outcome(&pushed), "failed link.gone");
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_second_login_takes_the_pending_pushes_and_the_first_chain_ends() {
    let _desk = Desk::fresh();
    let kit = kit("[{ use: keep }, { use: test_end }]");
    let mut first = kit.link("alice");
    let pushes = [first.push("p1", "one"), first.push("p2", "two")];
    first.run().await;
    assert_eq!(received(&mut first), ["push p1 one", "push p2 two"]);

    let mut second = kit.relogin(&mut first);
    second.run().await;
    assert_eq!(
        received(&mut second),
        ["push p1 one", "push p2 two"],
        "oldest first"
    );
    let late = first.push("p3", "three");
    first.advance(Duration::from_secs(10)).await;
    assert_eq!(
        received(&mut first),
        names([]),
        "the first link sends nothing again"
    );
    assert_eq!(outcome(&late), "failed keep.fenced");

    first.disconnect();
    first.run().await;
    assert!(first.is_finished(), "no timer of the old link is left");
    second.send(Command::DownstreamAck, "p1", "");
    second.run().await;
    assert_eq!(
        (outcome(&pushes[0]), outcome(&pushes[1])),
        ("ok got".into(), "none".into())
    );
    second.disconnect();
    second.advance(Duration::from_secs(60)).await;
    assert_eq!(outcome(&pushes[1]), "failed keep.offline");
    assert!(second.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_second_login_ends_both_chains_of_a_link_that_changes_over() {
    let _desk = Desk::fresh();
    let entries = "[{ use: linger }, { use: test_end }]";
    let kit = kit(entries);
    let mut first = kit.link("alice");
    first.change(&kit.pipeline(entries), PATIENCE);
    first.disconnect();
    first.run().await;
    assert!(!first.is_finished());
    let _second = kit.relogin(&mut first);
    first.run().await;
    assert!(first.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_timer_armed_in_close_keeps_the_chain_until_it_has_run_out() {
    let desk = Desk::fresh();
    let kit = kit("[{ use: hold }, { use: linger }, { use: test_end }]");
    let mut link = kit.link("alice");
    link.business("k1", "");
    link.disconnect();
    link.run().await;
    let flushed = kit.taken();
    assert_eq!(
        labels(&flushed),
        ["business k1"],
        "held messages leave at close"
    );
    flushed.into_iter().for_each(|m| m.settle(ok("")));
    link.advance(Duration::from_secs(9)).await;
    assert!(!link.is_finished());
    link.advance(Duration::from_secs(1)).await;
    assert_eq!(desk.log(), ["lingered 7"]);
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn giving_up_settles_everything_as_soon_as_filters_are_done_with_it() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: ack, use: track, config: { answer: true } }, { id: dedup, use: track, config: { confirm: true } }, \
         { id: slow, use: wait, config: { up: true, mark: w } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.business("sent", "");
    link.business("confirming", "");
    link.run().await;
    let mut taken = kit.taken();
    taken.pop().unwrap().settle(ok("yes"));
    link.run().await;
    link.business("w-waits", "");
    link.business("behind", "");
    link.run().await;
    desk.log();
    link.chains().give_up();
    // What comes later finds nothing, though the filter still works on what it was told.
    taken.into_iter().for_each(|m| m.settle(ok("late")));
    link.run().await;
    assert_eq!(received(&mut link), names([]));
    for gate in desk.gates() {
        desk.go(&gate, Go::On);
    }
    link.run().await;
    let mut got = received(&mut link);
    got.sort();
    let want = [
        "ack confirming yes",
        "nack behind link.retired",
        "nack sent link.retired",
        "nack w-waits link.retired",
    ];
    assert_eq!(got, want);
    assert_eq!(link.chains().load(), Default::default());
    link.disconnect();
    link.run().await;
    assert!(link.is_finished());
    assert!(link.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_behind_the_gate_have_had_no_effect_when_the_link_is_given_up() {
    let _desk = Desk::fresh();
    let kit = kit(ANSWERED);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.frame("B k2", false);
    let first = kit.taken();
    link.chains().give_up();
    link.run().await;
    assert_eq!(
        labels(&kit.taken()),
        names([]),
        "k2 never reaches the backend"
    );
    assert_eq!(
        received(&mut link),
        ["raw nack k1 link.retired", "raw nack k2 link.retired"]
    );
    drop(first);
}
