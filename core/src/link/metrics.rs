//! What links count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What links count, for all links of the node together.
#[derive(Clone, Default)]
pub struct LinkMetrics {
    /// Links with a socket.
    pub(super) open: Gauge,
    /// Links without one that still settle messages or keep a session.
    pub(super) parked: Gauge,
    pub(super) closed: Family<Closed, Counter>,
    /// Links that have yet to go over to other filters.
    pub changing: Gauge,
    /// Changes to other filters.
    pub(super) changed: Counter,
    pub(super) frames_in: Counter,
    pub(super) frames_out: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Closed {
    /// The close code's name; `peer` when the client closed, `lost` when the connection broke.
    pub(super) reason: &'static str,
}

impl LinkMetrics {
    pub(super) fn received(&self, bytes: usize) {
        self.frames_in.inc();
        self.bytes_in.inc_by(bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.frames_out.inc();
        self.bytes_out.inc_by(bytes as u64);
    }

    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("links", "Links with a socket", self.open.clone());
        registry.register(
            "links_parked",
            "Links without a socket that keep unsettled messages",
            self.parked.clone(),
        );
        registry.register(
            "links_closed",
            "Links closed, by reason",
            self.closed.clone(),
        );
        registry.register(
            "links_changing",
            "Links that have yet to go over to other filters",
            self.changing.clone(),
        );
        registry.register(
            "links_changed",
            "Changes of links to other filters",
            self.changed.clone(),
        );
        registry.register(
            "frames_received",
            "Frames from clients",
            self.frames_in.clone(),
        );
        registry.register("frames_sent", "Frames to clients", self.frames_out.clone());
        registry.register(
            "received_bytes",
            "Payload bytes from clients",
            self.bytes_in.clone(),
        );
        registry.register(
            "sent_bytes",
            "Payload bytes to clients",
            self.bytes_out.clone(),
        );
    }
}
