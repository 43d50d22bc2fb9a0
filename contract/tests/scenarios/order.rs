//! What keeps its place in line, and what overtakes.

use crate::common::{Desk, Go, kit, labels, received};
use crate::outcome;
use linkgate_filter::Command;

#[tokio::test(start_paused = true)]
async fn business_messages_stand_in_order_before_a_slot_that_waits_and_others_overtake() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: look, use: wait, config: { up: true, down: true } }, { id: n, use: pick }, { use: keep }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    for key in ["k1", "k2", "k3"] {
        link.business(key, "");
    }
    let push = link.push("p1", "");
    link.push("p2", "");
    link.send(Command::DownstreamAck, "p1", "");
    link.run().await;
    assert_eq!(
        outcome(&push),
        "ok got",
        "the acknowledgement overtook the business messages"
    );
    assert_eq!(desk.gates(), ["look k1", "look p1"]);
    desk.go("look p1", Go::On);
    desk.go("look k1", Go::Again);
    link.run().await;
    assert_eq!(
        desk.gates(),
        ["look k1", "look p2"],
        "k1 waits once more, nobody passes it"
    );
    desk.go("look k1", Go::Refuse);
    link.run().await;
    desk.go("look k2", Go::On);
    link.run().await;
    desk.go("look k3", Go::On);
    desk.go("look p2", Go::On);
    link.run().await;
    assert_eq!(labels(&kit.taken()), ["business k2", "business k3"]);
    assert_eq!(
        received(&mut link),
        ["push p1", "nack k1 wait.refused", "push p2"]
    );
}

#[tokio::test(start_paused = true)]
async fn encoded_frames_keep_their_order_before_a_seal_that_waits() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: seal, use: wait, config: { down: true, mark: slow } }, { use: codec }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.push("slow", "");
    link.push("quick", "");
    link.run().await;
    desk.go("seal push slow", Go::On);
    link.run().await;
    assert_eq!(received(&mut link), ["raw push slow", "raw push quick"]);
}

#[tokio::test(start_paused = true)]
async fn emissions_come_in_the_order_asked_for_and_before_the_message_itself() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: out, use: note }, { use: codec }, { id: mid, use: note }, { use: pick }, { id: in, use: note }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.frame("B twin", false);
    link.run().await;
    assert_eq!(
        desk.log(),
        [
            "out up raw B twin",
            "mid up business twin",
            "in up business twin-first",
            "mid down redirect twin",
            "out down raw redirect twin",
            "in up business twin",
        ]
    );
    assert_eq!(
        labels(&kit.taken()),
        ["business twin-first", "business twin"]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_may_end_in_any_order_and_settle_once() {
    let desk = Desk::fresh();
    let kit = kit("[{ id: ack, use: track, config: { answer: true } }, { use: call }]");
    let mut link = kit.link("alice");
    for key in ["k1", "k2", "k3"] {
        link.business(key, "");
    }
    link.run().await;
    desk.go("call k3", Go::On);
    link.run().await;
    desk.go("call k1", Go::Refuse);
    desk.go("call k2", Go::Done);
    link.run().await;
    let mut got = received(&mut link);
    got.sort();
    assert_eq!(
        got,
        [
            "ack k3 re k3",
            "nack k1 test.failed",
            "nack k2 gateway.dropped"
        ]
    );
}
