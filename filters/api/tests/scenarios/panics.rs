//! What a panic of a filter costs.

use crate::common::{Desk, Go, kit, kit_with, labels, received};
use crate::outcome;
use linkgate_filter::{Chains, Command, Limits, LinkInfo, Message};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_link_ends_that_link_and_its_receipts_settle() {
    let desk = Desk::fresh();
    let kit = kit(
        "[{ id: p, use: track, config: { all: true } }, { id: look, use: wait, config: { down: true } }, { use: call }]",
    );
    let info = Arc::new(LinkInfo::new(
        7,
        linkgate_filter::Identity::new("chat", "alice"),
    ));
    let mut chains = Chains::open(kit.own(), &info);
    let mut other = kit.link("bob");
    let pushed = other.push("p2", "");
    chains.upstream(Message::new(
        Arc::clone(&info),
        Command::UpstreamMessage,
        "k1",
        "",
    ));
    let task = tokio::spawn(async move {
        std::future::poll_fn(|cx| {
            chains.poll(cx);
            std::task::Poll::<()>::Pending
        })
        .await;
    });
    tokio::task::yield_now().await;
    desk.go("call k1", Go::Panic);
    assert!(task.await.unwrap_err().is_panic());
    desk.go("look p2", Go::On);
    other.run().await;
    assert_eq!(outcome(&pushed), "ok ");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_shard_costs_what_it_held_and_the_shard_goes_on() {
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
    let mut link = kit.link("alice");
    for key in ["k1", "panic", "k3", "k4"] {
        link.business(key, "");
        link.run().await;
    }
    assert_eq!(
        received(&mut link),
        ["nack k1 gateway.dropped", "nack panic gateway.dropped"]
    );
    let faults = kit.own().meter().faults();
    assert!(
        faults.contains(&("gateway.panicked".to_owned(), 1)),
        "{faults:?}"
    );
    let taken = kit.taken();
    assert_eq!(labels(taken[0].parts()), ["business k3", "business k4"]);
}
