//! From what a listener lets in to a link at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::link::{Grace, LinkManager, LinkMetrics, LinkSettings, NewLink};
use crate::listener::config::ListenerConfig;
use crate::listener::{Accepted, Handler, Offer};
use crate::pipeline::{Generations, Served};

/// Takes what the listeners let in.
pub(super) struct Gateway {
    generations: Arc<Generations>,
    manager: Arc<LinkManager>,
    metrics: Arc<LinkMetrics>,
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
            metrics: Arc::new(metrics),
            settings: settings.collect(),
            tasks: TaskTracker::new(),
        }
    }

    /// Closes every link because the node stops, once what its client has sent is answered, or at `until`.
    pub(super) fn shut_down(&self, grace: Grace) {
        for pipeline in self.generations.load().pipelines() {
            pipeline.retire();
        }
        self.manager.shut_down(grace);
    }

    /// Waits until every link's task has ended.
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Lets go of the pipelines, so that their trunks end with the last link that holds them.
    pub(super) fn let_go(&self) {
        self.generations.store(Arc::default());
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

/// What a client was let in to.
pub(super) struct Destination {
    served: Served,
    settings: Arc<LinkSettings>,
}

impl Handler for Gateway {
    type Pipeline = Destination;

    fn find(&self, listener: &str, biz_id: &str) -> Option<Offer<Destination>> {
        let served = self.generations.load().find(listener, biz_id)?.clone();
        let links = Arc::clone(&served.links);
        let settings = Arc::clone(self.settings.get(listener)?);
        Some(Offer {
            pipeline: Destination { served, settings },
            links,
        })
    }

    fn link(
        self: Arc<Self>,
        accepted: Accepted<Destination>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Destination { served, settings } = accepted.pipeline;
        let link = NewLink {
            socket: accepted.socket,
            identity: accepted.identity,
            form: accepted.form,
            peer: accepted.peer,
            token_expires_at: accepted.token_expires_at,
            pipeline: served.pipeline,
            budget: served.pushes,
            settings,
        };
        // Tracked from now on, so that a stop waits for it.
        self.tasks
            .track_future(link.open(&self.manager, &self.metrics, accepted.permit))
    }
}
