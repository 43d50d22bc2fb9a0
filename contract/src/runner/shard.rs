//! The trunk at work: the part of a pipeline that its links share.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};

use crate::link::{Identity, LinkInfo};
use crate::runner::chain::Chain;
use crate::runner::host::Host;
use crate::runner::pipeline::{Limits, Pipeline};
use crate::runner::plan::Plan;
use crate::runner::timer::Timer;
use crate::runner::trunk::{Entrance, Stage};

impl Plan {
    /// Starts the pipeline. Cannot fail. The shards of its trunk are to be run on a task each. It goes on counting where
    /// its predecessor is, which links are to be changed over from.
    pub fn start(
        self,
        biz_id: &str,
        limits: Limits,
        host: &Arc<Host>,
        predecessor: Option<&Pipeline>,
    ) -> (Arc<Pipeline>, Vec<Shard>) {
        let pipeline = Arc::new(Pipeline::new(self, biz_id, limits, host, predecessor));
        let inner = Arc::new(pipeline.without_trunk());
        let open = |(index, entrance)| Shard::open(&inner, index, entrance);
        let entrances = pipeline.trunk().map(|trunk| trunk.entrances());
        let entrances = entrances.into_iter().flatten();
        let shards = (0..).zip(entrances).map(open).collect();
        (pipeline, shards)
    }
}

/// One shard of a trunk: a chain that many links feed. While it does not run, links stand before it; once it is dropped,
/// what links send is refused.
pub struct Shard {
    chain: Chain,
    entrance: Arc<Entrance>,
    timer: Timer,
    closed: bool,
}

impl Shard {
    /// Messages taken in before other tasks get their turn.
    const TURN: usize = 256;

    fn open(pipeline: &Arc<Pipeline>, index: u64, entrance: &Arc<Entrance>) -> Self {
        let stand_in = LinkInfo::new(index, Identity::new(pipeline.biz_id(), ""));
        Self {
            chain: Chain::open_trunk(pipeline, &Arc::new(stand_in)),
            entrance: Arc::clone(entrance),
            timer: Timer::default(),
            closed: false,
        }
    }

    /// Works until the pipeline is gone and nothing is unsettled.
    ///
    /// Should a filter panic, what it had settles as unknown, and the shard goes on with that filter opened anew: one
    /// message that a filter trips over costs no other link its service.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            let now = self.chain.pipeline().host().clock.now();
            self.chain.tick(now);
            self.chain.mend();
            self.chain.poll(cx);
            if !self.take_in(cx) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let stage = self.entrance.stage(cx);
            if stage != Stage::Open && !self.closed {
                self.closed = true;
                self.chain.close();
                continue;
            }
            if stage == Stage::Finished && self.chain.is_idle() {
                return Poll::Ready(());
            }
            let clock = &*self.chain.pipeline().host().clock;
            if !self.timer.poll_due(self.chain.next_timer(), clock, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Takes in what has come, as far as the shard's bound allows. Says whether that was all for now.
    fn take_in(&mut self, cx: &mut task::Context<'_>) -> bool {
        let limit = self.chain.pipeline().limits().trunk_bytes;
        for _ in 0..Self::TURN {
            if self.chain.load().bytes >= limit {
                return true;
            }
            let Some(message) = self.entrance.receive(cx) else {
                return true;
            };
            self.chain.upstream(message);
            self.chain.poll(cx);
        }
        false
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.entrance.abandon();
    }
}
