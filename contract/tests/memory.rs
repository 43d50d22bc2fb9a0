//! What a link keeps of the changes it has been through: nothing.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/mod.rs"]
mod common;

use std::sync::{Arc, Weak};
use std::time::Duration;

use allocation_counter::measure;
use linkgate_filter::runner::Pipeline;
use linkgate_filter::testkit::{TestLink, Testkit};
use tokio::runtime::Runtime;

use crate::common::{Desk, Go, kit, ok};

const FEW: u32 = 500;
const MANY: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// State of the session, timers, futures, receipts; and the same with the filters turned round, before a trunk.
const PIPELINES: [&str; 2] = [
    "[{ use: census }, { use: codec }, { id: ack, use: track, config: { answer: true } }, { use: keep }, \
      { use: hold }, { id: look, use: wait, config: { up: true } }, { use: test_end }]",
    "[{ use: census }, { use: codec }, { id: ack, use: track, config: { answer: true } }, \
      { id: look, use: wait, config: { up: true } }, { use: hold }, { use: keep }, \
      { use: join, config: { size: 2 } }, { use: test_end }]",
];

struct World {
    desk: Desk,
    kit: Testkit,
    link: TestLink,
    kept: [Arc<Pipeline>; 2],
    earlier: Weak<Pipeline>,
}

impl World {
    fn new() -> Self {
        let desk = Desk::fresh();
        let kit = kit(PIPELINES[0]);
        let link = kit.link("alice");
        let kept = PIPELINES.map(|entries| kit.pipeline(entries));
        Self {
            desk,
            kit,
            link,
            kept,
            earlier: Weak::new(),
        }
    }

    /// A change with all that may be under way: a push that is not acknowledged, a message that waits, one that is held.
    async fn change(&mut self, n: u32, anew: bool) {
        let at = n as usize % 2;
        let pipeline = if anew {
            self.kit.pipeline(PIPELINES[at])
        } else {
            Arc::clone(&self.kept[at])
        };
        self.link.push("p", "");
        self.link.frame("B k1", false);
        self.link.frame("B k2", false);
        self.link.change(&pipeline, PATIENCE);
        if let Some(earlier) = self.earlier.upgrade()
            && anew
        {
            earlier.retire();
        }
        self.earlier = Arc::downgrade(&pipeline);
        drop(pipeline);
        self.link.frame("G p", false);
        while self.link.chains().load().messages > 0 {
            self.poll().await;
            for gate in self.desk.gates() {
                self.desk.go(&gate, Go::On);
            }
            for mut m in self.kit.taken() {
                for part in m.take_parts() {
                    part.settle(ok(""));
                }
                m.settle(ok(""));
            }
            if self.desk.gates().is_empty() {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
        }
        self.poll().await;
        let mut down = self.link.received();
        down.extend(std::iter::from_fn(|| self.link.chains().next_outgoing()));
        let answers = down.iter().filter(|m| m.body.starts_with(b"ack k"));
        assert_eq!(answers.count(), 2, "change {n}");
        self.link.chains().rest();
        let alive = self.desk.lives().into_iter().filter(|life| !life.dead);
        assert_eq!(alive.count(), 1, "chains after change {n}");
        self.desk.forget();
    }

    async fn poll(&mut self) {
        std::future::poll_fn(|cx| {
            self.link.chains().tick();
            self.link.chains().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }
}

/// The bytes that `times` changes leave behind.
fn left_by(times: u32, anew: bool, runtime: &Runtime, world: &mut World) -> i64 {
    let changes = async {
        for n in 0..times {
            world.change(n, anew).await;
        }
    };
    measure(|| runtime.block_on(changes)).bytes_current
}

fn check(times: u32, anew: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut world = runtime.block_on(async { World::new() });
    // Once through everything, so that what is allocated for good is there.
    left_by(FEW, anew, &runtime, &mut world);
    let state = format!("{:?}", world.link.info());
    let left = left_by(times, anew, &runtime, &mut world);
    assert_eq!(
        format!("{:?}", world.link.info()),
        state,
        "state by filter ids"
    );
    assert!(left <= 1024, "{times} changes left {left} bytes behind");
}

#[test]
fn ten_thousand_changes_of_a_link_between_two_pipelines_leave_nothing_behind() {
    check(MANY, false);
}

#[test]
fn changes_to_pipelines_built_anew_leave_nothing_behind() {
    check(FEW, true);
}
