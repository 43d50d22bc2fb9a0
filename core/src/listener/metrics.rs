//! What is counted at the door. One `ListenerMetrics` serves all listeners of the node, told apart by a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::refusal::Refusal;

/// The listeners' metrics.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    accepted: Family<OfListener, Counter>,
    refused: Family<OfRefusal, Counter>,
    handshake_seconds: Family<OfListener, Histogram, fn() -> Histogram>,
    open_links: Family<OfListener, Gauge>,
    unfinished_bytes: Family<OfListener, Gauge>,
    accept_errors: Family<OfListener, Counter>,
    health_checks: Family<OfListener, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfListener {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    listener: String,
    reason: &'static str,
}

impl Default for ListenerMetrics {
    fn default() -> Self {
        let seconds: fn() -> Histogram = || {
            Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            ])
        };
        Self {
            accepted: Family::default(),
            refused: Family::default(),
            handshake_seconds: Family::new_with_constructor(seconds),
            open_links: Family::default(),
            unfinished_bytes: Family::default(),
            accept_errors: Family::default(),
            health_checks: Family::default(),
        }
    }
}

impl ListenerMetrics {
    /// Shows them as `listener_...` in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("listener");
        registry.register(
            "accepted",
            "Connections that became links",
            self.accepted.clone(),
        );
        registry.register(
            "refused",
            "Connections that became no links, by reason",
            self.refused.clone(),
        );
        registry.register(
            "handshake_seconds",
            "From accepting a connection to an open link",
            self.handshake_seconds.clone(),
        );
        registry.register("open_links", "Links open now", self.open_links.clone());
        registry.register(
            "unfinished_bytes",
            "What unfinished messages hold now, in bytes",
            self.unfinished_bytes.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be accepted, as for want of file descriptors",
            self.accept_errors.clone(),
        );
        registry.register(
            "health_checks",
            "Questions about the health, answered",
            self.health_checks.clone(),
        );
    }

    /// The metrics of one listener, all there from the start.
    pub(super) fn of(&self, listener: &str) -> Counters {
        let label = OfListener {
            listener: listener.to_owned(),
        };
        let counters = Counters {
            accepted: self.accepted.get_or_create_owned(&label),
            handshake_seconds: self.handshake_seconds.get_or_create_owned(&label),
            open_links: self.open_links.get_or_create_owned(&label),
            unfinished_bytes: self.unfinished_bytes.get_or_create_owned(&label),
            accept_errors: self.accept_errors.get_or_create_owned(&label),
            health_checks: self.health_checks.get_or_create_owned(&label),
            refused: self.refused.clone(),
            listener: label.listener,
        };
        for refusal in Refusal::ALL {
            drop(counters.refused(refusal));
        }
        counters
    }
}

/// The metrics of one listener.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) accepted: Counter,
    pub(super) handshake_seconds: Histogram,
    pub(super) open_links: Gauge,
    pub(super) unfinished_bytes: Gauge,
    pub(super) accept_errors: Counter,
    pub(super) health_checks: Counter,
    refused: Family<OfRefusal, Counter>,
    listener: String,
}

impl Counters {
    /// The counter of one reason.
    pub(super) fn refused(&self, refusal: Refusal) -> Counter {
        let label = OfRefusal {
            listener: self.listener.clone(),
            reason: refusal.reason(),
        };
        self.refused.get_or_create_owned(&label)
    }
}
