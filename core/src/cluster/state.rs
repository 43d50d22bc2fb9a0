//! What the rest of the node, and whoever runs it, can see of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch;

use super::machine::Note;
use super::registry::{Incarnation, View};
use crate::telemetry::limit::Every;

/// How a node stands in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not registered yet.
    Begins,
    /// It is one of them.
    Lives,
    /// Another process has its id: this one has to end.
    Taken,
}

/// What is counted of a cluster.
#[derive(Clone, Default)]
pub struct ClusterMetrics {
    nodes: Gauge,
    silent: Gauge,
    changes: Family<[(&'static str, &'static str); 1], Counter>,
}

impl ClusterMetrics {
    /// Shows it.
    pub fn register(&self, metrics: &mut Metrics) {
        let metrics = metrics.sub_registry_with_prefix("cluster");
        metrics.register(
            "nodes",
            "Nodes that live, by what the registry says",
            self.nodes.clone(),
        );
        metrics.register(
            "registry_silent",
            "1 while the registry does not answer",
            self.silent.clone(),
        );
        metrics.register(
            "changes",
            "Changes of state: nodes that were suspected or ended, shards that were behind or asserted",
            self.changes.clone(),
        );
    }
}

/// What can be seen of the cluster.
pub(super) struct State {
    standing: watch::Sender<Standing>,
    view: watch::Sender<Arc<View>>,
    /// Where nodes were last known to be: one that is not registered any more may still answer there.
    addresses: Mutex<BTreeMap<Incarnation, String>>,
    metrics: ClusterMetrics,
    lines: Every,
}

impl State {
    pub(super) fn new(metrics: ClusterMetrics) -> Self {
        Self {
            standing: watch::Sender::new(Standing::Begins),
            view: watch::Sender::new(Arc::default()),
            addresses: Mutex::default(),
            metrics,
            lines: Every::new(std::time::Duration::from_secs(10)),
        }
    }

    pub(super) fn set(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    pub(super) fn set_view(&self, view: Arc<View>) {
        let nodes = i64::try_from(view.boots.len()).unwrap_or(i64::MAX);
        self.metrics.nodes.set(nodes);
        self.view.send_replace(view);
    }

    /// These nodes are at these addresses.
    pub(super) fn remember(&self, nodes: &[(Incarnation, String)]) {
        self.addresses.lock().extend(nodes.iter().cloned());
    }

    /// Where the nodes of a view are, or were last, but this one.
    pub(super) fn addresses(
        &self,
        view: &View,
        own: Option<Incarnation>,
    ) -> impl Iterator<Item = (Incarnation, String)> {
        let mut known = self.addresses.lock();
        known.retain(|life, _| view.boots.contains_key(life) && Some(*life) != own);
        known.clone().into_iter()
    }

    /// The registry answers, or does not and why.
    pub(super) fn registry_answers(&self, silent: Option<&str>) {
        let was_silent = self.metrics.silent.set(i64::from(silent.is_some())) == 1;
        match silent {
            Some(why) if self.lines.pass().is_some() => {
                tracing::warn!(
                    why,
                    "the registry does not answer: nodes are known as they were, and nobody is given up"
                );
            }
            Some(_) => {}
            None if was_silent => tracing::info!("the registry answers again"),
            None => {}
        }
    }

    pub(super) fn note(&self, note: Note) {
        let change = match note {
            Note::Ended(_) => "ended",
            Note::Suspected(_) => "suspected",
            Note::Reborn(_) => "reborn",
            Note::Paused(_) => "paused",
            Note::Confirmed => "confirmed",
            Note::Behind(_) => "behind",
            Note::Asserted(..) => "asserted",
            Note::Lags(_) => "lags",
            Note::Lost(_) => "lost",
        };
        self.metrics
            .changes
            .get_or_create(&[("change", change)])
            .inc();
    }
}
