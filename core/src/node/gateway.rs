//! From what a listener lets in to a link at work.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::links;
use crate::admin::Admin;
use crate::link::{LinkHandle, LinkManager, LinkMetrics, LinkSettings, NewLink};
use crate::listener::{Accepted, Handler, Offer};
use crate::pipeline::{Generations, Served, Standing};

/// Takes what the listeners let in.
pub(super) struct Gateway {
    generations: Arc<Generations>,
    manager: Arc<LinkManager>,
    metrics: Arc<LinkMetrics>,
    /// Whether the node wants traffic.
    admin: Arc<Admin>,
    tasks: TaskTracker,
}

impl Gateway {
    pub(super) fn new(
        generations: &Arc<Generations>,
        manager: &Arc<LinkManager>,
        metrics: LinkMetrics,
        admin: &Arc<Admin>,
    ) -> Self {
        Self {
            generations: Arc::clone(generations),
            manager: Arc::clone(manager),
            metrics: Arc::new(metrics),
            admin: Arc::clone(admin),
            tasks: TaskTracker::new(),
        }
    }

    /// No pipeline gathers any more: what it has gathered goes at once.
    pub(super) fn retire(&self) {
        for version in self.generations.load().versions() {
            version.pipeline.retire();
        }
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

/// What a client was let in to.
pub(super) struct Destination {
    served: Served,
    settings: Arc<LinkSettings>,
}

impl Handler for Gateway {
    type Pipeline = Destination;

    fn find(&self, listener: &str, biz_id: &str) -> Option<Offer<Destination>> {
        let generation = self.generations.load();
        let served = generation.find(listener, biz_id)?.clone();
        let links = Arc::clone(&served.links);
        let settings = Arc::clone(&generation.entrance(listener)?.settings);
        Some(Offer {
            pipeline: Destination { served, settings },
            links,
        })
    }

    fn is_awaited(&self, biz_id: &str) -> bool {
        self.generations.load().standing(biz_id) == Standing::NotReady
    }

    fn is_ready(&self) -> bool {
        self.admin.is_ready()
    }

    fn link(
        self: Arc<Self>,
        accepted: Accepted<Destination>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Destination { served, settings } = accepted.pipeline;
        let link = NewLink {
            socket: accepted.socket,
            listener: accepted.listener,
            pipeline: Arc::clone(served.pipeline(&accepted.identity)),
            budget: served.pushes,
            identity: accepted.identity,
            form: accepted.form,
            peer: accepted.peer,
            token_expires_at: accepted.token_expires_at,
            settings,
        };
        let around = (&self.manager, &self.metrics);
        // From now on a change of generations finds it; one that came before that is made up for.
        let entered = |handle: &LinkHandle| {
            loop {
                let generation = self.generations.load_full();
                links::entered(handle, &generation);
                // One that was published meanwhile must not be undone by the one before it.
                if Arc::ptr_eq(&generation, &self.generations.load()) {
                    break;
                }
            }
        };
        // Tracked from now on, so that a stop waits for it.
        self.tasks
            .track_future(link.open(around, accepted.permit, &entered))
    }
}
