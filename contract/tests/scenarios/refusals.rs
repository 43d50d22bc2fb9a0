//! Refused and lost messages: who hears of them, and how often.

use crate::common::{Desk, Go, kit, received};
use crate::{names, outcome};
use linkgate_filter::Receipt;

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_answered_once_by_whoever_tracks_it_or_by_the_runner() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: out, use: note }, { use: codec }, { id: early, use: pick }, \
         { id: ack, use: track, config: { answer: true } }, { id: late, use: wait, config: { up: true, mark: later } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.frame("B bad", false);
    link.frame("B later", false);
    link.run().await;
    desk.go("late later", Go::Refuse);
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["raw nack bad pick.bad", "raw nack later wait.refused"]
    );
    let log = desk.log();
    assert!(
        log.contains(&"out down raw nack bad pick.bad".to_owned()),
        "the answer passes the encoders: {log:?}"
    );
    assert!(
        log.contains(&"ack settled later failed wait.refused".to_owned()),
        "{log:?}"
    );
    assert_eq!(link.close_wanted(), None);
    let faults = kit.own().meter().faults();
    assert_eq!(
        faults,
        [("pick.bad".to_owned(), 1), ("wait.refused".to_owned(), 1)],
        "each counted once"
    );
    assert_eq!(link.chains().load(), Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_frame_refused_before_the_decoding_slot_closes_the_link() {
    let _desk = Desk::fresh();
    let kit = kit("[{ use: pick }, { use: codec }, { use: test_end }]");
    let mut link = kit.link("alice");
    link.frame("B bad", false);
    link.run().await;
    assert_eq!(received(&mut link), names([]));
    assert_eq!(
        link.close_wanted(),
        Some(linkgate_filter::CloseCode::GARBAGE)
    );
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_the_codec_refuses_is_answered() {
    let _desk = Desk::fresh();
    let kit = kit("[{ use: codec }, { use: test_end }]");
    let mut link = kit.link("alice");
    link.frame("rubbish", false);
    assert_eq!(received(&mut link), ["raw nack codec.garbage"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_heartbeat_or_acknowledgement_is_counted_but_gets_no_nack() {
    let _desk = Desk::fresh();
    let kit = kit("[{ use: codec }, { use: pick }, { use: test_end }]");
    let mut link = kit.link("alice");
    link.frame("G bad", false);
    link.frame("H bad", false);
    assert_eq!(
        received(&mut link),
        names([]),
        "a NACK speaks of business messages alone"
    );
    assert_eq!(
        kit.own().slots()[1].meter().faults(),
        [("pick.bad".to_owned(), 2)]
    );
    assert_eq!(link.close_wanted(), None);
}

#[tokio::test(start_paused = true)]
async fn a_refused_push_tells_its_source() {
    let _desk = Desk::fresh();
    let kit =
        kit("[{ id: p, use: track, config: { all: true } }, { use: pick }, { use: test_end }]");
    let mut link = kit.link("alice");
    let pushed = link.push("bad", "");
    link.run().await;
    assert_eq!(outcome(&pushed), "failed pick.bad");
    assert_eq!(received(&mut link), names([]));
}

#[tokio::test(start_paused = true)]
async fn a_message_lost_in_a_filter_settles_as_unknown_and_is_counted() {
    let _desk = Desk::fresh();
    let kit = kit(
        "[{ id: ack, use: track, config: { answer: true } }, { use: pick }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.business("lost", "");
    let pushed = link.push("lost", "");
    link.run().await;
    assert_eq!(received(&mut link), ["nack lost gateway.dropped"]);
    assert_eq!(
        kit.own().meter().faults(),
        [(Receipt::DROPPED.to_owned(), 1)]
    );
    assert_eq!(outcome(&pushed), "unknown gateway.dropped");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_waits_no_longer_refuses_what_has_not_been_sent_on() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: ack, use: track, config: { answer: true } }, { id: keep, use: track, config: { confirm: true } }, \
         { id: gate, use: wait, config: { up: true, mark: slow } }, { id: out, use: call }]",
    );
    let mut link = kit.link("alice");
    for key in ["1", "slow", "3"] {
        link.business(key, "");
    }
    link.run().await;
    link.chains().refuse_business();
    link.chains().refuse_waiting();
    link.business("4", "");
    link.run().await;
    assert_eq!(received(&mut link), ["nack 4 link.closing"]);
    assert!(link.chains().is_settling());
    let log = desk.log();
    for key in ["slow", "3"] {
        assert!(log.contains(&format!("keep settled {key} failed link.closing")));
        desk.go(&format!("keep {key}"), Go::On);
    }
    link.run().await;
    assert!(!link.chains().is_settling());
    let mut told = received(&mut link);
    told.sort();
    assert_eq!(told, ["nack 3 link.closing", "nack slow link.closing"]);
    assert_eq!(link.chains().load().messages, 1);
    // What has been sent on is answered as ever, and nothing comes a second time.
    desk.go("out 1", Go::On);
    link.run().await;
    desk.go("keep 1", Go::On);
    link.run().await;
    assert_eq!(received(&mut link), ["ack 1 re 1"]);
    assert_eq!(link.chains().load(), Default::default());
    assert_eq!(kit.own().meter().faults(), [("link.closing".to_owned(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn without_anybody_who_tracks_it_what_stands_in_line_is_refused_by_the_runner() {
    let _desk = Desk::fresh();
    let kit = kit(
        "[{ use: codec }, { id: gate, use: wait, config: { up: true, mark: slow } }, { id: out, use: call }]",
    );
    let mut link = kit.link("alice");
    for key in ["B slow", "B 2", "B 3"] {
        link.frame(key, false);
    }
    link.run().await;
    link.chains().refuse_waiting();
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["raw nack 2 link.closing", "raw nack 3 link.closing"]
    );
}
