//! From what a listener lets in to a link at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::link::{LinkManager, LinkMetrics, LinkSettings, NewLink};
use crate::listener::config::ListenerConfig;
use crate::listener::{Accepted, Handler, Offer};
use crate::pipeline::{Generations, Served};

/// Takes what the listeners let in.
pub(super) struct Gateway {
    generations: Arc<Generations>,
    manager: Arc<LinkManager>,
    metrics: LinkMetrics,
    settings: BTreeMap<String, Arc<LinkSettings>>,
    tasks: TaskTracker,
}

impl Gateway {
    pub(super) fn new(
        listeners: &[ListenerConfig],
        generations: Arc<Generations>,
        manager: Arc<LinkManager>,
        metrics: LinkMetrics,
    ) -> Self {
        let settings = listeners
            .iter()
            .map(|config| (config.name.clone(), Arc::new(settings(config))));
        Self {
            generations,
            manager,
            metrics,
            settings: settings.collect(),
            tasks: TaskTracker::new(),
        }
    }

    /// Closes every link because the node stops, once what its client has sent is answered, or at `until`.
    pub(super) fn shut_down(&self, until: Instant) {
        self.manager.shut_down(until);
    }

    /// Waits until every link's task has ended.
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Links that are not done.
    pub(super) fn links(&self) -> usize {
        self.manager.len()
    }
}

fn settings(config: &ListenerConfig) -> LinkSettings {
    LinkSettings {
        second_login: config.second_login,
        idle: *config.timeouts.idle,
        ping: *config.timeouts.ping,
        write_stall: *config.timeouts.write,
        close: *config.timeouts.close,
        frames_per_second: config.websocket.max_frames.per_second(),
        bytes_per_second: config.websocket.max_bytes_per_second.bytes() as f64,
        max_push: config.websocket.max_outgoing.as_usize(),
        push_queue: config.websocket.max_queued.as_usize(),
        nacks: config.legacy_nacks.into(),
    }
}

impl Handler for Gateway {
    type Pipeline = Served;

    fn find(&self, listener: &str, biz_id: &str) -> Option<Offer<Served>> {
        let generation = self.generations.load();
        let served = generation.find(listener, biz_id)?;
        Some(Offer {
            pipeline: served.clone(),
            links: Arc::clone(&served.links),
        })
    }

    fn link(
        self: Arc<Self>,
        accepted: Accepted<Served>,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Taken before the task runs for the first time, so that a stop waits for it.
        let at_work = self.tasks.token();
        async move {
            let _at_work = at_work;
            let Some(settings) = self.settings.get(&*accepted.listener) else {
                return;
            };
            let link = NewLink {
                socket: accepted.socket,
                identity: accepted.identity,
                form: accepted.form,
                peer: accepted.peer,
                token_expires_at: accepted.token_expires_at,
                pipeline: accepted.pipeline.pipeline,
                budget: accepted.pipeline.pushes,
                settings: Arc::clone(settings),
            };
            link.run(&self.manager, &self.metrics, accepted.permit)
                .await;
        }
    }
}
