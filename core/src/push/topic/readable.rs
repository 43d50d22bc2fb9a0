//! Whether a topic can be read: shown in a metric, in `/readyz` and in the log.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::EdgeError;

use crate::push::config::TopicSource;
use crate::push::metrics::Unreadable;
use crate::push::router::Router;
use crate::readiness::Reason;
use crate::telemetry::limit::Every;

pub(super) struct Readable {
    topic: String,
    metric: Unreadable,
    reason: Option<Arc<Reason>>,
    is_failing: bool,
    line: Every,
}

impl Readable {
    pub(super) fn new(config: &TopicSource, router: &Router) -> Self {
        Self {
            topic: config.topic.clone(),
            metric: router.metrics().unreadable(&config.topic, &config.group),
            reason: None,
            is_failing: false,
            line: Every::new(Duration::from_secs(10)),
        }
    }

    pub(super) fn tell(&mut self, reason: Arc<Reason>) {
        self.reason = Some(reason);
    }

    pub(super) fn failed(&mut self, error: &EdgeError) {
        let topic = &self.topic;
        self.is_failing = true;
        self.metric.set(true);
        if let Some(reason) = &self.reason {
            reason.holds(format!(
                "the pushes of topic `{topic}` cannot be read: {error}"
            ));
        }
        if let Some(held_back) = self.line.pass() {
            tracing::warn!(topic, %error, held_back, "pushes cannot be read; it is tried again");
        }
    }

    pub(super) fn recovered(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(topic = self.topic, "pushes can be read again");
        }
        self.metric.set(false);
        if let Some(reason) = &self.reason {
            reason.is_over();
        }
    }
}
