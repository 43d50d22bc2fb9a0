//! Links go over to what serves them now at a pace: a change of many links costs what a node can spare beside its traffic.

mod line;

use std::sync::{Arc, Weak};
use std::time::Duration;

use linkgate_filter::runner::Pipeline;
use linkgate_filter::units::Rate;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::line::{Line, Turn};
use super::links::bring;
use crate::link::LinkHandle;
use crate::pipeline::{Generation, Generations};

/// The links that are to go over, and the pipelines that they leave.
pub(super) struct ChangeOver {
    generations: Arc<Generations>,
    /// Between two links, on average.
    per_link: Duration,
    state: Mutex<State>,
    /// There is something to do.
    begun: Notify,
    waiting: Gauge,
}

#[derive(Default)]
struct State {
    line: Line<Weak<LinkHandle>, Arc<Pipeline>>,
    /// Until when those that have gone over have used the pace up.
    used: Option<Instant>,
}

impl ChangeOver {
    /// As many as may go in this time go at once.
    const STEP: Duration = Duration::from_millis(50);

    /// Nobody goes over yet; so many links a second do.
    pub(super) fn new(generations: &Arc<Generations>, pace: Rate, waiting: Gauge) -> Self {
        Self {
            generations: Arc::clone(generations),
            per_link: pace.interval(),
            state: Mutex::default(),
            begun: Notify::new(),
            waiting,
        }
    }

    /// These links are not on what serves them now, and `gone` has no links once they are. As many as may go over at once.
    pub(super) fn begin(&self, links: Vec<Arc<LinkHandle>>, gone: Vec<(Arc<str>, Arc<Pipeline>)>) {
        let mut state = self.state.lock();
        for link in links {
            let info = link.info();
            let (biz_id, id) = (Arc::clone(&info.identity.biz_id), info.id);
            state.line.join(biz_id, id, Arc::downgrade(&link));
        }
        for (biz_id, pipeline) in gone {
            state.line.close(biz_id, pipeline);
        }
        self.step(&mut state);
        self.begun.notify_one();
    }

    /// Brings links over until `stop`. No pipeline is left gathering then that is not at work.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                match self.next() {
                    Some(next) => sleep_until(next).await,
                    None => self.begun.notified().await,
                }
                self.step(&mut self.state.lock());
            }
        })
        .await;
        for turn in std::mem::take(&mut self.state.lock().line) {
            if let Turn::Over(pipeline) = turn {
                pipeline.retire();
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.used.filter(|_| !state.line.is_empty())
    }

    fn step(&self, state: &mut State) {
        let now = Instant::now();
        let mut used = state.used.map_or(now, |used| used.max(now));
        let generation = self.generations.load();
        while used < now + Self::STEP
            && let Some(turn) = state.line.next()
        {
            match turn {
                Turn::Link(link) => {
                    // One that is gone needs no new filters.
                    if link.upgrade().is_some_and(|link| bring(&link, &generation)) {
                        used += self.per_link;
                    }
                }
                Turn::Over(pipeline) => pipeline.retire(),
            }
        }
        state.used = Some(used);
        let waiting = i64::try_from(state.line.links()).unwrap_or(i64::MAX);
        self.waiting.set(waiting);
    }
}

/// The pipelines of `before` that are no more, with their businesses.
pub(super) fn gone(before: &Generation, next: &Generation) -> Vec<(Arc<str>, Arc<Pipeline>)> {
    let is_kept = |pipeline: &Arc<Pipeline>| {
        let mut versions = next.versions();
        versions.any(|version| Arc::ptr_eq(&version.pipeline, pipeline))
    };
    let mut gone = Vec::new();
    for served in before.served() {
        let pipelines = served.versions().map(|version| &version.pipeline);
        let own = pipelines.filter(|pipeline| !is_kept(pipeline));
        gone.extend(own.map(|pipeline| (Arc::clone(&served.biz_id), Arc::clone(pipeline))));
    }
    gone
}
