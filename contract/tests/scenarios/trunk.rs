//! The part of a pipeline that links share.

use crate::common::{Desk, Go, failed, kit, kit_with, labels, ok, received};
use crate::{PATIENCE, names};
use linkgate_filter::runner::Limits;

const JOINED: &str = "[{ id: ack, use: track, config: { answer: true } }, { id: mid, use: note }, \
                       { use: join, config: { size: 2 } }, { id: whole, use: track }, { use: test_end }]";

#[tokio::test(start_paused = true)]
async fn the_parts_of_a_joined_message_settle_one_by_one_in_their_own_links() {
    let _desk = Desk::fresh();
    let limits = Limits {
        trunk_shards: 1,
        ..Limits::default()
    };
    let kit = kit_with(limits, JOINED);
    let (mut alice, mut bob) = (kit.link("alice"), kit.link("bob"));
    alice.business("a1", "");
    bob.business("b1", "");
    alice.run().await;
    bob.run().await;
    let mut joined = kit.taken().pop().unwrap();
    let mut parts = joined.take_parts();
    assert_eq!(labels(&parts), ["business a1", "business b1"]);
    parts.pop().unwrap().settle(failed());
    alice.run().await;
    bob.run().await;
    assert_eq!(
        (received(&mut alice), received(&mut bob)),
        (names([]), names(["nack b1 test.failed"]))
    );
    parts.pop().unwrap().settle(ok("yes"));
    joined.settle(ok(""));
    alice.run().await;
    assert_eq!(received(&mut alice), ["ack a1 yes"]);
    let accepted = kit.own().meter().events();
    assert_eq!(
        accepted,
        [("accepted", 1)],
        "counted once, neither again in the trunk nor for the shell"
    );
}

#[tokio::test(start_paused = true)]
async fn a_joined_message_that_is_dropped_or_refused_settles_every_part() {
    let _desk = Desk::fresh();
    let limits = Limits {
        trunk_shards: 1,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 2 } }, \
         { id: ask, use: wait, config: { up: true, others: true } }, { use: test_end }]",
    );
    let desk = Desk;
    let mut link = kit.link("alice");
    link.business("k1", "");
    link.business("k2", "");
    link.run().await;
    desk.go("ask ", Go::Refuse);
    link.run().await;
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["nack k1 wait.refused", "nack k2 wait.refused"]
    );
    link.business("k3", "");
    link.business("k4", "");
    link.run().await;
    desk.go("ask ", Go::On);
    link.run().await;
    drop(kit.taken());
    link.run().await;
    link.run().await;
    assert_eq!(
        received(&mut link),
        ["nack k3 gateway.dropped", "nack k4 gateway.dropped"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_has_a_cap_in_the_trunk_and_the_others_wait_in_order() {
    let _desk = Desk::fresh();
    let limits = Limits {
        in_trunk: 2,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "[{ use: join, config: { size: 1 } }, { use: test_end }]",
    );
    let mut link = kit.link("alice");
    for key in ["k1", "k2", "k3", "k4"] {
        link.business(key, "");
    }
    link.run().await;
    let (mut seen, mut stays) = (Vec::new(), Vec::new());
    for round in [2, 1, 1] {
        let taken = kit.taken();
        assert_eq!(taken.len(), round);
        for (at, mut m) in taken.into_iter().enumerate() {
            seen.extend(labels(m.parts()));
            if at == 0 {
                m.take_parts()
                    .into_iter()
                    .for_each(|part| part.settle(ok("")));
                m.settle(ok(""));
            } else {
                stays.push(m);
            }
        }
        link.run().await;
    }
    assert_eq!(
        seen,
        ["business k1", "business k2", "business k3", "business k4"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_shard_holds_links_back_and_wakes_them_in_turn() {
    let desk = Desk::fresh();
    let limits = Limits {
        trunk_shards: 1,
        trunk_bytes: 400,
        ..Limits::default()
    };
    let kit = kit_with(
        limits,
        "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 1 } }, \
         { id: ask, use: wait, config: { up: true } }, { use: test_end }]",
    );
    let mut links: Vec<_> = (0..8).map(|n| kit.link(&format!("user{n}"))).collect();
    for (n, link) in links.iter_mut().enumerate() {
        link.business(&format!("{n}-1"), "");
        link.business(&format!("{n}-2"), "");
    }
    let (mut seen, mut answers) = (Vec::new(), 0);
    for _ in 0..64 {
        for link in &mut links {
            link.run().await;
            answers += link.received().len();
        }
        assert!(desk.gates().len() <= 1);
        if !desk.gates().is_empty() {
            desk.go("ask ", Go::On);
        }
        for mut m in kit.taken() {
            for part in m.take_parts() {
                seen.push(part.key.clone());
                part.settle(ok(""));
            }
            m.settle(ok(""));
        }
    }
    assert_eq!((seen.len(), answers), (16, 16));
    for n in 0..8 {
        let place = |which| seen.iter().position(|key| *key == format!("{n}-{which}"));
        assert!(place(1) < place(2), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trunk_sends_what_it_gathers_when_its_pipeline_is_dropped() {
    let _desk = Desk::fresh();
    let kit = kit(JOINED);
    let other = "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 3 } }, { use: test_end }]";
    let pipeline = kit.pipeline(other);
    let mut link = kit.link("alice");
    link.change(&pipeline, PATIENCE);
    drop(pipeline);
    link.run().await;
    link.business("k1", "");
    link.run().await;
    assert_eq!(labels(&kit.taken()), names([]));
    link.change(kit.own(), PATIENCE);
    link.run().await;
    assert_eq!(
        labels(&kit.taken()),
        names([]),
        "the link's old chain still holds the pipeline"
    );
    link.advance(PATIENCE).await;
    link.run().await;
    let taken = kit.taken();
    assert_eq!(labels(taken[0].parts()), ["business k1"]);
    assert_eq!(received(&mut link), ["nack k1 link.retired"]);
}
