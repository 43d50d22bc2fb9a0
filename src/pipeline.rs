//! Running pipelines: which one serves a business on a listener, as one generation that is published at once.
//!
//! What may not enter: how a pipeline came to be configured, and what its filters do.

mod metrics;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use linkgate_filter::Pipeline;

pub use self::metrics::PipelineMetrics;
use crate::link::PushBudget;
use crate::listener::Quota;

/// What serves a business.
#[derive(Clone)]
pub struct Served {
    /// The filters.
    pub pipeline: Arc<Pipeline>,
    /// The business's links on the node.
    pub links: Arc<Quota>,
    /// The business's budget for pushes that wait.
    pub pushes: Arc<PushBudget>,
}

/// One complete, running configuration of pipelines.
#[derive(Default)]
pub struct Generation {
    by_listener: BTreeMap<String, BTreeMap<Arc<str>, Served>>,
    pipelines: Vec<Arc<Pipeline>>,
}

impl Generation {
    /// Adds what serves a business on these listeners.
    pub fn serve<'a>(&mut self, listeners: impl IntoIterator<Item = &'a str>, served: &Served) {
        for listener in listeners {
            let businesses = self.by_listener.entry(listener.to_owned()).or_default();
            businesses.insert(Arc::clone(served.pipeline.biz_id()), served.clone());
        }
        self.pipelines.push(Arc::clone(&served.pipeline));
    }

    /// What serves a business on a listener.
    pub fn find(&self, listener: &str, biz_id: &str) -> Option<&Served> {
        self.by_listener.get(listener)?.get(biz_id)
    }

    /// Whether a business is served on any listener.
    pub fn serves(&self, biz_id: &str) -> bool {
        let mut businesses = self.by_listener.values();
        businesses.any(|own| own.contains_key(biz_id))
    }

    /// Every pipeline once.
    pub fn pipelines(&self) -> &[Arc<Pipeline>] {
        &self.pipelines
    }
}

/// The generation at work.
pub type Generations = ArcSwap<Generation>;
