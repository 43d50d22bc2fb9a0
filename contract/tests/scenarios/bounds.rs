//! The bounds of a link.

use crate::common::{Desk, Go, kit, kit_with, ok, received};
use crate::{ANSWERED, PATIENCE};
use linkgate_filter::runner::Limits;

#[tokio::test(start_paused = true)]
async fn beyond_the_soft_bound_messages_are_nacked_and_an_answer_makes_room() {
    let _desk = Desk::fresh();
    let limits = Limits {
        unsettled: 2,
        ..Limits::default()
    };
    let kit = kit_with(limits, ANSWERED);
    let mut link = kit.link("alice");
    for key in ["k1", "k2", "k3"] {
        link.frame(format!("B {key}"), false);
    }
    link.frame("G p9", false);
    assert_eq!(received(&mut link), ["raw nack k3 link.overloaded"]);
    // What the old chain holds counts too.
    link.change(&kit.pipeline(ANSWERED), PATIENCE);
    link.frame("B k4", false);
    assert_eq!(received(&mut link), ["raw nack k4 link.overloaded"]);
    kit.taken().pop().unwrap().settle(ok("two"));
    link.run().await;
    link.frame("B k5", false);
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["raw ack k2 two", "raw nack k1 gateway.dropped"]
    );
    assert_eq!(link.chains().load().messages, 1);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_hard_bound_the_socket_is_not_read() {
    let desk = Desk::fresh();
    let limits = Limits {
        hard_bytes: 2000,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "[{ id: look, use: wait, config: { up: true } }, { use: codec }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    link.frame("B k1", false);
    let mut frames = 1;
    while link.chains().takes_frames() {
        link.frame("B k2", false);
        frames += 1;
        assert!(frames < 100);
    }
    assert!(link.chains().load().bytes >= 2000);
    for _ in 0..frames {
        link.run().await;
        let gate = desk.gates().pop().unwrap();
        desk.go(&gate, Go::On);
    }
    link.run().await;
    assert_eq!(kit.taken().len(), frames);
    link.run().await;
    assert!(link.chains().takes_frames());
}

#[tokio::test(start_paused = true)]
async fn a_message_in_line_weighs_once() {
    let _desk = Desk::fresh();
    let kit = kit("[{ id: look, use: wait, config: { up: true } }, { use: test_end }]");
    let mut link = kit.link("alice");
    link.business("k1", vec![0; 1000]);
    let one = link.chains().load().bytes;
    link.business("k2", vec![0; 1000]);
    assert_eq!(link.chains().load().bytes, 2 * one);
}
