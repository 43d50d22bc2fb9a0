//! What steps have to know of a configuration that runs.

use linkgate_core::config::Config;
use linkgate_core::listener::config::ListenerConfig;
use linkgate_core::push::PushConfig;

/// What steps have to know of a configuration.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) listeners: Vec<ListenerConfig>,
    pub(super) push: PushConfig,
    pub(super) backends: Vec<String>,
    pub(super) brokers: Vec<String>,
    pub(super) stores: Vec<String>,
    /// Each business, and the listeners on which it is served.
    pipelines: Vec<(String, Vec<String>)>,
}

impl Facts {
    pub(super) fn of(config: &Config) -> Self {
        let pipelines = config.pipelines.iter();
        Self {
            listeners: config.listeners.clone(),
            push: config.push.clone(),
            backends: config.backends.keys().cloned().collect(),
            brokers: config.brokers.keys().cloned().collect(),
            stores: config.stores.keys().cloned().collect(),
            pipelines: pipelines
                .map(|pipeline| (pipeline.biz_id.clone(), pipeline.listeners.clone()))
                .collect(),
        }
    }

    /// Whether pushes can come from anywhere.
    pub(super) fn takes_pushes(&self) -> bool {
        !self.push.sources.is_empty()
    }

    /// The businesses, each once.
    pub(super) fn businesses(&self) -> impl Iterator<Item = &str> {
        let all = self.pipelines.iter().enumerate();
        all.filter(|(at, (biz_id, _))| {
            let mut before = self.pipelines[..*at].iter();
            !before.any(|(known, _)| known == biz_id)
        })
        .map(|(_, (biz_id, _))| biz_id.as_str())
    }

    /// Whether a business is served on a listener.
    pub(super) fn serves(&self, listener: &str, biz_id: &str) -> bool {
        let mut all = self.pipelines.iter();
        all.any(|(known, listeners)| {
            known == biz_id && listeners.iter().any(|name| name == listener)
        })
    }
}
