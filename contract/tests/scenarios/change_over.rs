//! A change from one pipeline to another while messages are on their way.

use crate::common::{Desk, Go, kit, labels, ok, received};
use crate::{ANSWERED, PATIENCE, names};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_late_outcome_after_a_change_over_is_answered_by_the_chain_it_began_on() {
    let _desk = Desk::fresh();
    let kit = kit(ANSWERED);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let old = kit.taken();
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.frame("B k2", false);
    link.run().await;
    assert_eq!(
        labels(&kit.taken()),
        names([]),
        "k2 waits until k1 has settled"
    );

    old.into_iter().for_each(|m| m.settle(ok("one")));
    link.run().await;
    assert_eq!(received(&mut link), ["raw ack k1 one"]);
    let new = kit.taken();
    assert_eq!(labels(&new), ["business k2"]);
    new.into_iter().for_each(|m| m.settle(ok("two")));
    link.run().await;
    assert_eq!(received(&mut link), ["raw ack k2 two"]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_after_the_deadline_of_a_change_over_changes_nothing_more() {
    let _desk = Desk::fresh();
    let kit = kit(ANSWERED);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let old = kit.taken();
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.frame("B k2", false);
    link.advance(PATIENCE - Duration::from_millis(1)).await;
    assert_eq!(received(&mut link), names([]));
    link.advance(Duration::from_millis(1)).await;
    assert_eq!(received(&mut link), ["raw nack k1 link.retired"]);

    let new = kit.taken();
    assert_eq!(labels(&new), ["business k2"]);
    old.into_iter().for_each(|m| m.settle(ok("one")));
    new.into_iter().for_each(|m| m.settle(ok("two")));
    link.advance(PATIENCE).await;
    assert_eq!(received(&mut link), ["raw ack k2 two"], "one answer each");
    link.disconnect();
    link.run().await;
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn three_quick_changes_end_at_the_last_and_keep_order() {
    let _desk = Desk::fresh();
    let kit = kit(ANSWERED);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let mut first = kit.taken();
    for _ in 0..2 {
        link.change(&kit.pipeline(ANSWERED), PATIENCE);
        link.frame("B k2", false);
    }
    let last = kit.pipeline(ANSWERED);
    link.change(&last, PATIENCE);
    link.frame("B k3", false);
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]));
    first.pop().unwrap().settle(ok("1"));
    link.run().await;
    let second = kit.taken();
    assert_eq!(
        labels(&second),
        ["business k2", "business k2", "business k3"]
    );
    assert!(Arc::ptr_eq(link.chains().pipeline(), &last));
    link.frame("B k4", false);
    link.run().await;
    assert_eq!(
        labels(&kit.taken()),
        names([]),
        "k4 entered the last chain and waits"
    );
    second.into_iter().for_each(|m| m.settle(ok("2")));
    link.run().await;
    assert_eq!(labels(&kit.taken()), ["business k4"]);
}

#[tokio::test(start_paused = true)]
async fn a_raw_frame_that_waits_in_the_old_chain_keeps_its_place_before_later_frames() {
    let desk = Desk::fresh();
    let entries = "[{ id: seal, use: wait, config: { up: true, mark: slow } }, { use: codec }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.frame("B slow", false);
    link.change(&kit.pipeline(entries), PATIENCE);
    link.frame("B quick", false);
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]));
    desk.go("seal B slow", Go::On);
    link.run().await;
    assert_eq!(labels(&kit.taken()), ["business slow"]);
    link.run().await;
    assert_eq!(labels(&kit.taken()), ["business quick"]);
}

#[tokio::test(start_paused = true)]
async fn pushes_that_wait_in_the_old_chain_stay_before_later_ones() {
    let desk = Desk::fresh();
    let entries = "[{ use: codec }, { id: look, use: wait, config: { down: true, mark: slow } }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.push("slow", "");
    link.change(&kit.pipeline(entries), PATIENCE);
    link.run().await;
    assert!(!link.chains().takes_pushes());
    desk.go("look slow", Go::On);
    link.run().await;
    assert!(link.chains().takes_pushes());
    link.push("quick", "");
    assert_eq!(received(&mut link), ["raw push slow", "raw push quick"]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_during_a_change_over_lets_both_chains_finish() {
    let _desk = Desk::fresh();
    let entries = "[{ id: ack, use: track }, { id: batch, use: hold }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.business("k1", "");
    link.change(&kit.pipeline(entries), PATIENCE);
    link.run().await;
    let first = kit.taken();
    assert_eq!(
        labels(&first),
        ["business k1"],
        "the old chain flushed at the change"
    );
    link.business("k2", "");
    link.change(&kit.pipeline(entries), PATIENCE);
    link.disconnect();
    link.run().await;
    assert!(!link.is_finished());
    assert_eq!(labels(&kit.taken()), names([]));
    first.into_iter().for_each(|m| m.settle(ok("")));
    link.run().await;
    let second = kit.taken();
    assert_eq!(labels(&second), ["business k2"]);
    assert!(!link.is_finished());
    second.into_iter().for_each(|m| m.settle(ok("")));
    link.run().await;
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn work_that_a_successor_starts_when_it_opens_is_polled_at_once() {
    let desk = Desk::fresh();
    let entries = "[{ use: keep }, { id: look, use: wait, config: { down: true, mark: p } }, { use: test_end }]";
    // `keep` stands before `look` here, so its copies do not wait; the second pipeline turns them round.
    let turned = "[{ id: look, use: wait, config: { down: true, mark: p } }, { use: keep }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.business("k1", "");
    link.push("p1", "");
    link.run().await;
    desk.go("look p1", Go::On);
    link.run().await;
    let old = kit.taken();
    link.change(&kit.pipeline(entries), PATIENCE);
    link.business("k2", "");
    link.change(&kit.pipeline(turned), PATIENCE);
    link.run().await;
    received(&mut link);
    // The second change begins inside a poll, while k2 is unsettled; its copy of p1 waits in `look`.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    old.into_iter().for_each(|m| m.settle(ok("")));
    link.chains().tick();
    link.chains().poll(&mut Context::from_waker(&waker));
    woken.take();
    desk.go("look p1", Go::On);
    assert!(woken.take(), "nobody waits for the future of the new chain");
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(false, std::sync::atomic::Ordering::SeqCst)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_client_hears_of_every_message_even_through_an_encoder_that_waits() {
    let desk = Desk::fresh();
    let entries = "[{ id: seal, use: wait, config: { down: true, mark: nack } }, { use: codec }, \
                   { id: ack, use: track, config: { answer: true } }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.run().await;
    let kept = kit.taken();
    link.change(&kit.pipeline(entries), PATIENCE);
    link.advance(PATIENCE).await;
    desk.go("seal nack k1 link.retired", Go::On);
    link.run().await;
    assert_eq!(received(&mut link), ["raw nack k1 link.retired"]);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_waits_before_the_filter_that_keeps_it_puts_the_change_off() {
    let desk = Desk::fresh();
    let entries =
        "[{ use: keep }, { id: look, use: wait, config: { down: true } }, { use: test_end }]";
    let kit = kit(entries);
    let next = kit.pipeline(entries);
    let mut link = kit.link("alice");
    let pushed = link.push("p1", "");
    link.change(&next, PATIENCE);
    link.run().await;
    assert!(!Arc::ptr_eq(link.chains().pipeline(), &next));
    desk.go("look p1", Go::On);
    link.run().await;
    assert!(Arc::ptr_eq(link.chains().pipeline(), &next));
    let twice = names(["push p1", "push p1"]);
    assert_eq!(
        received(&mut link),
        twice,
        "the new chain has taken it over, and sends what it found"
    );
    link.send(linkgate_filter::Command::DownstreamAck, "p1", "");
    link.run().await;
    assert_eq!(crate::outcome(&pushed), "ok got");

    link.push("stuck", "");
    link.change(kit.own(), PATIENCE);
    link.advance(PATIENCE).await;
    assert!(
        Arc::ptr_eq(link.chains().pipeline(), kit.own()),
        "not for longer than its patience"
    );
}

#[tokio::test(start_paused = true)]
async fn frames_that_nobody_has_decoded_by_the_deadline_bring_the_client_back() {
    let _desk = Desk::fresh();
    let entries =
        "[{ id: seal, use: wait, config: { up: true } }, { use: codec }, { use: test_end }]";
    let kit = kit(entries);
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    link.frame("B k2", false);
    link.change(&kit.pipeline(entries), PATIENCE);
    link.advance(PATIENCE).await;
    assert_eq!(
        link.close_wanted(),
        Some(linkgate_filter::CloseCode::RETIRED)
    );
    assert_eq!(link.chains().load(), Default::default());
    link.disconnect();
    link.run().await;
    assert!(link.is_finished());
}
