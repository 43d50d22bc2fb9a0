//! What a panic of a filter costs.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use linkgate_filter::{
    Chains, Command, Identity, Limits, LinkInfo, Message, Outcome, Receipt, Settler,
};

use crate::common::{Desk, Go, kit, kit_with, labels, received, says};
use crate::outcome;

#[derive(Default)]
struct Told(std::sync::Mutex<Vec<String>>);

impl Settler for Told {
    fn settle(&self, _: u64, outcome: Outcome) {
        self.0.lock().unwrap().push(says(&outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_link_ends_that_link_alone_and_its_receipts_settle() {
    let desk = Desk::fresh();
    let kit = kit("[{ id: look, use: wait, config: { down: true } }, { use: call }]");
    let mut other = kit.link("bob");
    let pushed = other.push("p2", "");
    let info = Arc::new(LinkInfo::new(7, Identity::new("chat", "alice")));
    let mut chains = Chains::open(kit.own(), &info);
    let told = Arc::<Told>::default();
    let receipt = Receipt::new(Arc::clone(&told) as _, 1);
    let push = Message::new(Arc::clone(&info), Command::DownstreamMessage, "p1", "");
    chains.downstream(push.with_receipt(receipt));
    chains.upstream(Message::new(info, Command::UpstreamMessage, "k1", ""));
    let task = tokio::spawn(poll_fn(move |cx| {
        chains.poll(cx);
        Poll::<()>::Pending
    }));
    tokio::task::yield_now().await;
    desk.go("call k1", Go::Panic);
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(*told.0.lock().unwrap(), ["unknown gateway.dropped"]);
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
