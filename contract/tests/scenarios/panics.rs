//! What a panic of a filter costs.

use linkgate_filter::runner::{Declared, Limits, Plan};
use linkgate_filter::testkit::{TestLink, Testkit, parse};
use linkgate_filter::{CloseCode, Effect, Message};

use crate::common::{Desk, Go, failed, kit, kit_with, label, labels, ok, received, registry};
use crate::{PATIENCE, outcome};

/// A kit that goes on where a filter panics.
fn contained(entries: &str) -> Testkit {
    let kit = kit(entries);
    kit.contain_panics();
    kit
}

fn panicked(kit: &Testkit, filter: &str) -> u64 {
    let slots = kit.own().slots().iter();
    let slot = slots.filter(|slot| &**slot.id() == filter);
    let faults = slot.flat_map(|slot| slot.meter().faults());
    faults
        .filter(|(code, _)| code == "gateway.panicked")
        .map(|(_, count)| count)
        .sum()
}

/// What has come for the client; a NACK that speaks of a panic says what it has to.
fn told(link: &mut TestLink) -> Vec<String> {
    let check = |m: Message| {
        let fault = m.fault.as_ref().filter(|f| f.code == "gateway.panicked");
        if let Some(fault) = fault {
            assert_eq!(fault.effect, Effect::Unknown);
            assert_eq!(
                fault.retry_after.is_some(),
                m.key != "trip",
                "only the message that the filter tripped over is not to come again"
            );
        }
        label(&m)
    };
    link.received().into_iter().map(check).collect()
}

const MESSAGE: [&str; 6] = [
    "upstream",
    "wait",
    "resumed",
    "spawned",
    "settled",
    "settle_wait",
];

#[tokio::test(start_paused = true)]
async fn whatever_a_filter_was_at_its_message_is_answered_and_all_others_go_on() {
    for at in MESSAGE {
        let desk = Desk::fresh();
        let kit = contained(&format!(
            "[{{ use: test_decoded }}, {{ id: ack, use: track, config: {{ answer: true }} }}, \
             {{ use: trip, config: {{ at: {at} }} }}, {{ use: call }}]"
        ));
        let (mut link, mut other) = (kit.link("alice"), kit.link("bob"));
        for link in [&mut link, &mut other] {
            link.business("k1", "");
            link.run().await;
        }
        link.business("trip", "");
        link.run().await;
        if at.starts_with("settle") {
            desk.go("call trip", Go::On);
            link.run().await;
        }
        assert_eq!(told(&mut link), ["nack trip gateway.panicked"], "{at}");
        assert_eq!(link.close_wanted(), Some(CloseCode::INTERNAL), "{at}");
        assert_eq!(panicked(&kit, "trip"), 1, "{at}");
        let key = if at.starts_with("settle") { "" } else { "trip" };
        assert_eq!(kit.panics(), [("trip".into(), key.into())], "{at}");
        // What comes now is too late, and has had no effect.
        link.business("k2", "");
        link.run().await;
        assert_eq!(told(&mut link), ["nack k2 link.closing"], "{at}");
        // What was under way ends as ever, on both links.
        desk.go("call k1", Go::On);
        desk.go("call k1'", Go::On);
        link.run().await;
        other.run().await;
        assert_eq!(told(&mut link), ["ack k1 re k1"], "{at}");
        assert_eq!(told(&mut other), ["ack k1 re k1"], "{at}");
        assert_eq!(other.close_wanted(), None);
        link.disconnect();
        link.run().await;
        assert!(link.is_finished(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_filter_hears_of_is_answered_by_the_runner() {
    for at in &MESSAGE[..4] {
        let _desk = Desk::fresh();
        let kit = contained(&format!(
            "[{{ use: test_decoded }}, {{ use: trip, config: {{ at: {at} }} }}, \
             {{ id: ack, use: track, config: {{ answer: true }} }}, {{ use: test_end }}]"
        ));
        let mut link = kit.link("alice");
        link.business("trip", "");
        link.run().await;
        assert_eq!(told(&mut link), ["nack trip gateway.panicked"], "{at}");
        assert_eq!(link.close_wanted(), Some(CloseCode::INTERNAL), "{at}");
        assert_eq!(link.chains().load().messages, 0, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nack_passes_a_broken_filter_and_nothing_else_does() {
    let _desk = Desk::fresh();
    let kit = contained(
        "[{ use: test_decoded }, { use: trip, config: { at: downstream } }, \
         { id: ack, use: track, config: { answer: true } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    for key in ["good", "bad"] {
        link.business(key, "");
        link.run().await;
    }
    let [good, bad] = kit.taken().try_into().unwrap();
    let pushed = link.push("trip", "");
    link.run().await;
    assert_eq!(outcome(&pushed), "unknown gateway.panicked");
    assert_eq!(kit.panics(), [("trip".into(), "trip".into())]);
    good.settle(ok(""));
    bad.settle(failed());
    link.run().await;
    assert_eq!(told(&mut link), ["nack bad test.failed"]);
    let late = link.push("p2", "");
    link.run().await;
    assert_eq!(outcome(&late), "failed gateway.panicked");
    assert_eq!(link.close_wanted(), Some(CloseCode::INTERNAL));
}

#[tokio::test(start_paused = true)]
async fn a_panic_beside_messages_costs_none() {
    for (at, lines) in [("wake", 1), ("opened", 0), ("open", 0)] {
        let desk = Desk::fresh();
        let kit = contained(&format!(
            "[{{ use: test_decoded }}, {{ id: ack, use: track, config: {{ answer: true }} }}, \
             {{ use: trip, config: {{ at: {at} }} }}, {{ use: call }}]"
        ));
        let mut link = kit.link("alice");
        link.business("trip", "");
        link.run().await;
        assert_eq!(link.close_wanted(), Some(CloseCode::INTERNAL), "{at}");
        assert_eq!(panicked(&kit, "trip"), 1, "{at}");
        if lines > 0 {
            desk.go("call trip", Go::On);
            link.run().await;
            assert_eq!(told(&mut link), ["ack trip re trip"], "{at}");
        } else {
            assert_eq!(told(&mut link), ["nack trip link.closing"], "{at}");
        }
        link.disconnect();
        link.run().await;
        assert!(link.is_finished(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_close_of_a_chain_holds_no_change_up() {
    let desk = Desk::fresh();
    let kit = contained(
        "[{ use: test_decoded }, { id: ack, use: track, config: { answer: true } }, \
         { use: trip, config: { at: close } }, { use: call }]",
    );
    let mut link = kit.link("alice");
    link.business("k1", "");
    link.run().await;
    let next = kit.pipeline(
        "[{ use: test_decoded }, { id: ack, use: track, config: { answer: true } }, { use: call }]",
    );
    link.change(&next, PATIENCE);
    link.run().await;
    desk.go("call k1", Go::On);
    link.run().await;
    assert_eq!(told(&mut link), ["ack k1 re k1"]);
    assert_eq!(link.close_wanted(), Some(CloseCode::INTERNAL));
}

#[tokio::test(start_paused = true)]
async fn a_shard_goes_on_with_the_filter_opened_anew() {
    for at in MESSAGE {
        let desk = Desk::fresh();
        let limits = Limits {
            trunk_shards: 1,
            ..Limits::default()
        };
        let kit = kit_with(
            limits,
            &format!(
                "[{{ id: ack, use: track, config: {{ answer: true }} }}, \
                 {{ use: join, config: {{ size: 1 }} }}, {{ use: trip, config: {{ at: {at} }} }}, \
                 {{ use: arrive, config: {{ call: true }} }}]"
            ),
        );
        kit.contain_panics();
        let (mut link, mut other) = (kit.link("alice"), kit.link("bob"));
        other.business("k1", "");
        other.run().await;
        link.business("trip", "");
        link.run().await;
        if at.starts_with("settle") {
            desk.go("arrive trip", Go::On);
            link.run().await;
            // The joined message alone was tracked; its part has its own outcome.
            assert_eq!(told(&mut link), ["ack trip yes"], "{at}");
        } else {
            assert_eq!(told(&mut link), ["nack trip gateway.panicked"], "{at}");
        }
        assert_eq!(panicked(&kit, "trip"), 1, "{at}");
        assert_eq!(link.close_wanted(), None, "the link has no part in it");
        link.business("k2", "");
        link.run().await;
        desk.go("arrive k1", Go::On);
        desk.go("arrive k2", Go::On);
        link.run().await;
        other.run().await;
        assert_eq!(told(&mut link), ["ack k2 yes"], "{at}");
        assert_eq!(told(&mut other), ["ack k1 yes"], "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_shard_costs_what_the_filter_held_of_all_links() {
    let _desk = Desk::fresh();
    let limits = Limits {
        trunk_shards: 1,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 2 } }, \
         { use: pick }, { use: test_end }]",
    );
    kit.contain_panics();
    let mut link = kit.link("alice");
    for key in ["k1", "panic", "k3", "k4"] {
        link.business(key, "");
        link.run().await;
    }
    assert_eq!(
        received(&mut link),
        ["nack k1 gateway.panicked", "nack panic gateway.panicked"]
    );
    assert_eq!(panicked(&kit, "pick"), 1);
    let taken = kit.taken();
    assert_eq!(labels(taken[0].parts()), ["business k3", "business k4"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_of_a_shard_that_cannot_be_opened_is_tried_again_and_refuses_meanwhile() {
    for at in ["open", "opened"] {
        let _desk = Desk::fresh();
        let kit = kit(
            "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 1 } }, { use: test_end }]",
        );
        kit.contain_panics();
        let next = kit.pipeline(&format!(
            "[{{ id: ack, use: track, config: {{ answer: true }} }}, {{ use: join, config: {{ size: 1 }} }}, \
             {{ use: trip, config: {{ at: {at} }} }}, {{ use: test_end }}]"
        ));
        let mut link = kit.link("alice");
        link.change(&next, PATIENCE);
        for _ in 0..3 {
            link.business("k1", "");
            link.run().await;
            assert_eq!(told(&mut link), ["nack k1 trunk.gone"], "{at}");
            link.advance(std::time::Duration::from_secs(2)).await;
        }
        assert_eq!(link.close_wanted(), None);
    }
}

#[test]
fn a_panic_while_a_filter_is_prepared_is_a_problem_of_its_entry() {
    let entries = parse("[{ id: a, use: trip, config: { at: prepare } }, { use: call }]");
    let problems = Plan::prepare(&registry(), "chat", &entries, &Declared::default());
    let [problem] = problems.err().unwrap().try_into().unwrap();
    assert_eq!(problem.entry, Some(0));
    assert_eq!(
        problem.problem.message,
        "the filter `trip` panicked when it was given this config"
    );
}
