//! The trunk at work: the part of a pipeline that its links share.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};

use crate::chain::{Chain, Load};
use crate::host::Host;
use crate::link::{Identity, LinkInfo};
use crate::pipeline::{Limits, Pipeline, Plan};
use crate::timer::Timer;
use crate::trunk::Entrance;

impl Plan {
    /// Starts the pipeline. Cannot fail. The shards of its trunk are to be run on a task each.
    pub fn start(
        self,
        biz_id: &str,
        limits: Limits,
        host: &Arc<Host>,
    ) -> (Arc<Pipeline>, Vec<Shard>) {
        let pipeline = Arc::new(Pipeline::new(self, biz_id, limits, host));
        let inner = Arc::new(pipeline.without_trunk());
        let stand_in = Arc::new(LinkInfo::new(0, Identity::new(biz_id, "")));
        let open = |entrance: &Arc<Entrance>| Shard {
            chain: Chain::open_trunk(&inner, &stand_in),
            entrance: Arc::clone(entrance),
            timer: Timer::default(),
            closed: false,
        };
        let shards = pipeline
            .trunk()
            .map(|trunk| trunk.entrances().iter().map(open).collect());
        (pipeline, shards.unwrap_or_default())
    }
}

/// One shard of a trunk: a chain that many links feed.
pub struct Shard {
    chain: Chain,
    entrance: Arc<Entrance>,
    timer: Timer,
    closed: bool,
}

impl Shard {
    /// Works until the pipeline is gone and nothing is unsettled.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.chain.pipeline().host().clock);
        loop {
            self.chain.tick(clock.now(), Load::default());
            self.chain.poll(cx);
            let limit = self.chain.pipeline().limits().trunk_bytes;
            while self.chain.load().bytes < limit
                && let Some(message) = self.entrance.receive(cx)
            {
                self.chain.upstream(message);
                self.chain.poll(cx);
            }
            if self.entrance.is_finished() && !self.closed {
                self.closed = true;
                self.chain.close();
                continue;
            }
            if self.closed && self.chain.is_idle() {
                return Poll::Ready(());
            }
            if !self.timer.poll_due(self.chain.next_timer(), &*clock, cx) {
                return Poll::Pending;
            }
        }
    }
}
