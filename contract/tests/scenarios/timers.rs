//! Timers, what futures bring, and what goes with a message.

use std::time::Duration;

use linkgate_filter::testkit::TestLink;

use crate::PATIENCE;
use crate::common::{Desk, Go, Seen, kit, ok};

const SLOW: &str = "[{ use: codec }, { use: slow }, { use: test_end }]";

async fn send(link: &mut TestLink, keys: &[&str]) {
    for key in keys {
        link.frame(format!("B {key}"), false);
    }
    link.run().await;
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_taken_back_does_not_go_off() {
    let desk = Desk::fresh();
    let kit = kit(SLOW);
    let mut link = kit.link("alice");
    send(&mut link, &["k1", "k2", "k3"]).await;
    let [first, second, third] = kit.taken().try_into().unwrap();
    second.settle(ok("yes"));
    link.advance(Duration::from_millis(1001)).await;
    first.settle(ok("yes"));
    link.run().await;
    assert_eq!(
        desk.log(),
        [
            "k2 in time ok yes, took back k2",
            "k1 is late",
            "k3 is late",
            "k1 too late ok yes"
        ]
    );
    third.settle(ok("yes"));
    link.run().await;
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_spawned_brings_its_filter_a_value() {
    let desk = Desk::fresh();
    let kit = kit(SLOW);
    let mut link = kit.link("alice");
    send(&mut link, &["k1", "k2"]).await;
    desk.go("slow k2", Go::Again);
    link.run().await;
    desk.go("slow k1", Go::On);
    link.run().await;
    assert_eq!(desk.log(), ["k2 called Again", "k1 called On"]);
    kit.taken().into_iter().for_each(|m| m.settle(ok("yes")));
    link.run().await;
}

#[tokio::test(start_paused = true)]
async fn tags_go_with_their_message_through_waits_and_into_the_trunk() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ use: codec }, { use: slow }, { id: look, use: wait, config: { up: true } }, \
         { use: join, config: { size: 2 } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    send(&mut link, &["k1"]).await;
    desk.go("look k1", Go::On);
    send(&mut link, &["k2"]).await;
    desk.go("look k2", Go::On);
    link.run().await;
    let [joined] = kit.taken().try_into().unwrap();
    assert_eq!(joined.tag::<Seen>(), None);
    let tags: Vec<_> = joined.parts().iter().map(|m| m.tag::<Seen>()).collect();
    assert_eq!(tags, [Some(&Seen("slow".to_owned())); 2]);
    assert_eq!(joined.parts()[0].copy().tag::<Seen>(), None);
    joined.settle(ok("yes"));
    link.run().await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_closes_lets_no_timer_go_off_and_keeps_what_goes_with_receipts() {
    let desk = Desk::fresh();
    let kit = kit(SLOW);
    let mut link = kit.link("alice");
    send(&mut link, &["k1"]).await;
    let [first] = kit.taken().try_into().unwrap();
    link.change(&kit.pipeline(SLOW), PATIENCE);
    link.advance(Duration::from_secs(5)).await;
    assert_eq!(desk.log(), Vec::<String>::new());
    first.settle(ok("yes"));
    link.run().await;
    assert_eq!(desk.log(), ["k1 too late ok yes"]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_timers_are_taken_back_when_the_chain_closes() {
    const DELAYED: &str = "[{ use: codec }, { use: delay }, { use: test_end }]";
    let _desk = Desk::fresh();
    let kit = kit(DELAYED);
    let mut link = kit.link("alice");
    send(&mut link, &["k1", "k2"]).await;
    assert!(kit.taken().is_empty());
    link.change(&kit.pipeline(DELAYED), PATIENCE);
    link.run().await;
    let taken = kit.taken();
    let keys: Vec<_> = taken.iter().map(|m| m.key.as_str()).collect();
    assert_eq!(keys, ["k1", "k2"]);
    taken.into_iter().for_each(|m| m.settle(ok("yes")));
    link.run().await;
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_timer_is_of_no_use_to_a_later_chain() {
    const AGAIN: &str = "[{ use: codec }, { use: again }, { use: test_end }]";
    let desk = Desk::fresh();
    let kit = kit(AGAIN);
    let mut link = kit.link("alice");
    link.advance(Duration::from_millis(300)).await;
    link.change(&kit.pipeline(AGAIN), PATIENCE);
    link.advance(Duration::from_secs(5)).await;
    assert_eq!(desk.log(), ["went off"]);
}
