//! What pushes count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::outcome::Status;

/// What pushes count, for all sources of the node together.
#[derive(Clone, Default)]
pub struct PushMetrics {
    pub(super) unsettled: Gauge,
    pub(super) joined: Counter,
    pub(super) rerouted: Counter,
    outcomes: Family<Ended, Counter>,
    refused: Family<Refused, Counter>,
    read: Counter,
    pub(super) known: Counter,
    pub(super) resets: Counter,
    parked: Counter,
    dead: Counter,
    pub(super) reported: Counter,
    unreadable: Family<Source, Gauge>,
    pub(super) failed_writes: Counter,
    pub(super) refused_writes: Counter,
    pub(super) held: Gauge,
    others: Family<OfTopic, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTopic {
    topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    topic: String,
    group: String,
}

/// Whether a source cannot be read; nobody knows any more once this is dropped.
pub(super) struct Unreadable {
    shown: Family<Source, Gauge>,
    source: Source,
}

impl Unreadable {
    pub(super) fn set(&self, is_unreadable: bool) {
        let gauge = self.shown.get_or_create(&self.source);
        gauge.set(is_unreadable.into());
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl PushMetrics {
    /// A topic of pushes that a group reads.
    pub(super) fn unreadable(&self, topic: &str, group: &str) -> Unreadable {
        let unreadable = Unreadable {
            shown: self.unreadable.clone(),
            source: Source {
                topic: topic.to_owned(),
                group: group.to_owned(),
            },
        };
        unreadable.set(false);
        unreadable
    }

    /// A push has ended for one receiver.
    pub(super) fn ended(&self, status: Status) {
        let status = status.name();
        self.outcomes.get_or_create(&Ended { status }).inc();
    }

    /// A push or a call was refused as a whole.
    pub(super) fn refused(&self, code: &str) {
        let code = code.to_owned();
        self.refused.get_or_create(&Refused { code }).inc();
    }

    /// How many partitions of a topic others read that this node is to read alone.
    pub(super) fn read_by_others(&self, topic: &str) -> Gauge {
        let topic = topic.to_owned();
        self.others.get_or_create(&OfTopic { topic }).clone()
    }

    /// A record was read from a topic of pushes.
    pub(super) fn taken(&self) {
        self.read.inc();
    }

    /// A record was read again of which all was settled.
    pub(super) fn known(&self) {
        self.known.inc();
    }

    /// A partition did not go on where it stopped.
    pub(super) fn reset(&self) {
        self.resets.inc();
    }

    /// A push was parked.
    pub(super) fn parked(&self) {
        self.parked.inc();
    }

    /// A record went to the dead-letter topic.
    pub(super) fn dead(&self) {
        self.dead.inc();
    }

    /// Reports were written.
    pub(super) fn reported(&self, reports: usize) {
        self.reported.inc_by(reports as u64);
    }

    /// How many receivers' pushes have ended so.
    pub fn count(&self, status: Status) -> u64 {
        let status = status.name();
        self.outcomes.get_or_create(&Ended { status }).get()
    }

    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "pushes_unsettled",
            "Pushes under way, by receiver",
            self.unsettled.clone(),
        );
        registry.register(
            "pushes",
            "Pushes that have ended, by receiver and status",
            self.outcomes.clone(),
        );
        registry.register(
            "pushes_joined",
            "Pushes that joined one under way with the same key",
            self.joined.clone(),
        );
        registry.register(
            "pushes_rerouted",
            "Pushes sent again because their link was gone",
            self.rerouted.clone(),
        );
        registry.register(
            "push_calls_refused",
            "Calls and pushes refused as a whole, by code",
            self.refused.clone(),
        );
        registry.register(
            "push_records",
            "Records read from topics of pushes, parked ones included",
            self.read.clone(),
        );
        registry.register(
            "push_records_known",
            "Records read again that were settled already",
            self.known.clone(),
        );
        registry.register(
            "push_partitions_reset",
            "Partitions of pushes that began anew, or had lost records",
            self.resets.clone(),
        );
        registry.register(
            "push_records_held",
            "Records of topics whose offsets cannot be passed yet",
            self.held.clone(),
        );
        registry.register(
            "pushes_parked",
            "Pushes written to a topic of parked pushes",
            self.parked.clone(),
        );
        registry.register(
            "push_dead_letters",
            "Records written to a dead-letter topic",
            self.dead.clone(),
        );
        registry.register(
            "push_reports",
            "Reports begun, by receiver",
            self.reported.clone(),
        );
        registry.register(
            "push_source_unreadable",
            "1 while a topic of pushes cannot be read, by topic and group",
            self.unreadable.clone(),
        );
        registry.register(
            "push_partitions_elsewhere",
            "Partitions of a topic of pushes, or of its parked ones, that other members of its group read, though this node \
             is to read it alone",
            self.others.clone(),
        );
        registry.register(
            "push_writes_failed",
            "Reports, parked pushes and dead letters that were not confirmed; they are sent again, or their reason alone",
            self.failed_writes.clone(),
        );
        registry.register(
            "push_writes_refused",
            "Reports, parked pushes and dead letters that the broker refused for good; they are dropped",
            self.refused_writes.clone(),
        );
    }
}
