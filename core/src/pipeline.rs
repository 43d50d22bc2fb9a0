//! Running pipelines: which one serves a user on a listener, as one generation that is published at once.
//!
//! What may not enter: how a pipeline came to be configured, and what its filters do.

mod metrics;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use linkgate_filter::Identity;
use linkgate_filter::runner::Pipeline;

pub use self::metrics::PipelineMetrics;
pub use self::version::{MadeOf, Share, Version};
use crate::link::{LinkSettings, PushBudget};
use crate::listener::Quota;

/// What serves a business.
#[derive(Clone)]
pub struct Served {
    /// The business.
    pub biz_id: Arc<str>,
    /// Its filters.
    pub standard: Version,
    /// Other versions, each for a share of its users; the first that covers a user is the user's.
    pub trials: Arc<[Version]>,
    /// The business's links on the node.
    pub links: Arc<Quota>,
    /// The business's budget for pushes that wait.
    pub pushes: Arc<PushBudget>,
    /// How long a link that changes over has to settle what it has.
    pub change_over: Duration,
}

impl Served {
    /// The filters of this user's links.
    pub fn pipeline(&self, user: &Identity) -> &Arc<Pipeline> {
        let mut trials = self.trials.iter();
        let trial = trials.find(|version| version.covers(user));
        &trial.unwrap_or(&self.standard).pipeline
    }

    /// All versions of its filters.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.standard).chain(&*self.trials)
    }
}

/// A listener, as the links that it has let in see it.
#[derive(Clone)]
pub struct Entrance {
    /// What it lays down for its links.
    pub settings: Arc<LinkSettings>,
    /// Links closed per second of those that nothing serves any more.
    pub drain: f64,
    /// What serves the businesses on it.
    businesses: BTreeMap<Arc<str>, Served>,
}

/// How a business stands with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has a pipeline.
    Served,
    /// Its configuration is refused, and it has none that was good before.
    NotReady,
    /// It is not configured.
    Unknown,
}

/// Businesses whose configuration is refused, so that nothing serves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Those that can be told from what is refused.
    pub businesses: BTreeSet<String>,
    /// There may be others: something refused cannot be read.
    pub others: bool,
}

/// One complete, running configuration of pipelines.
#[derive(Default)]
pub struct Generation {
    listeners: BTreeMap<Arc<str>, Entrance>,
    served: Vec<Served>,
    refused: Refused,
}

impl Generation {
    /// Adds a listener.
    pub fn open(&mut self, listener: &str, settings: LinkSettings, drain: f64) {
        let entrance = Entrance {
            settings: Arc::new(settings),
            drain,
            businesses: BTreeMap::new(),
        };
        self.listeners.insert(listener.into(), entrance);
    }

    /// Adds what serves a business on these listeners.
    pub fn serve<'a>(&mut self, listeners: impl IntoIterator<Item = &'a str>, served: Served) {
        for listener in listeners {
            if let Some(entrance) = self.listeners.get_mut(listener) {
                let businesses = &mut entrance.businesses;
                businesses.insert(Arc::clone(&served.biz_id), served.clone());
            }
        }
        self.served.push(served);
    }

    /// A listener.
    pub fn entrance(&self, listener: &str) -> Option<&Entrance> {
        self.listeners.get(listener)
    }

    /// What serves a business on a listener.
    pub fn find(&self, listener: &str, biz_id: &str) -> Option<&Served> {
        self.entrance(listener)?.businesses.get(biz_id)
    }

    /// Notes businesses that are not served for now.
    pub fn refuse(&mut self, refused: Refused) {
        self.refused = refused;
    }

    /// How a business stands, whatever the listener.
    pub fn standing(&self, biz_id: &str) -> Standing {
        let mut listeners = self.listeners.values();
        if listeners.any(|entrance| entrance.businesses.contains_key(biz_id)) {
            Standing::Served
        } else if self.refused.others || self.refused.businesses.contains(biz_id) {
            Standing::NotReady
        } else {
            Standing::Unknown
        }
    }

    /// Whether everybody is served by the same pipelines there.
    pub fn is_same(&self, other: &Self) -> bool {
        let shape = |generation: &Self| {
            let mut shape = Vec::new();
            for (listener, entrance) in &generation.listeners {
                shape.push((Arc::clone(listener), None));
                for served in entrance.businesses.values() {
                    let versions = served.versions().map(Version::shape);
                    shape.push((
                        Arc::clone(&served.biz_id),
                        Some(versions.collect::<Vec<_>>()),
                    ));
                }
            }
            shape
        };
        shape(self) == shape(other)
    }

    /// What serves the businesses, each once.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// Every version of every business's filters.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.served.iter().flat_map(Served::versions)
    }
}

/// The generation at work.
pub type Generations = ArcSwap<Generation>;
