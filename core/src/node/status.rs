//! Which configuration runs, and what became of the last one that was read: for operators, by the admin address and in
//! metrics.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::routing::{Router, get};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a node says of its configuration, as `/v1/config` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The node.
    pub node: String,
    /// The program: `linkgate`, or a gateway built of its crates.
    #[serde(default)]
    pub program: String,
    /// The program's version.
    pub version: String,
    /// The version of linkgate in it.
    #[serde(default)]
    pub linkgate: String,
    /// The number that documents may say as their `schema`, at the most.
    pub schema: u32,
    /// How many configurations have run since the start: 1 at the start, and 1 more with each change.
    pub generation: u64,
    /// What the configuration that runs means, as one number, without what is the node's own: equal on nodes that do the
    /// same.
    pub hash: String,
    /// When it began to run, as Unix time in milliseconds.
    pub since: i64,
    /// Whether all that was read last runs.
    pub accepted: bool,
    /// When a configuration was last read, as Unix time in milliseconds.
    pub read_at: i64,
    /// Why none of what was read last runs, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where documents come from cannot be reached: what runs is what was last read, or a copy on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// What only a restart changes, and has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
    /// The documents.
    pub documents: Vec<DocumentStatus>,
    /// Reads of which not all runs, so far.
    pub rejected: u64,
}

/// What became of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DocumentStatus {
    /// Its path, or `etcd:` and its name.
    pub name: String,
    /// What of it runs, as one number; empty if nothing of it does.
    pub hash: String,
    /// Why what it says now does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The status as others read it.
#[derive(Default)]
pub struct Shared(watch::Sender<ConfigStatus>);

impl Shared {
    /// A copy.
    pub fn get(&self) -> ConfigStatus {
        self.0.borrow().clone()
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut ConfigStatus)) {
        self.0.send_modify(change);
    }

    /// For those who want to hear of changes.
    pub fn subscribe(&self) -> watch::Receiver<ConfigStatus> {
        self.0.subscribe()
    }
}

/// `GET /v1/config`.
pub(super) fn routes(status: Arc<Shared>) -> Router {
    let show = |State(status): State<Arc<Shared>>| async move { Json(status.get()) };
    Router::new()
        .route("/v1/config", get(show))
        .with_state(status)
}

/// Shows the status at each scrape.
pub(super) struct StatusMetrics(pub(super) Arc<Shared>);

impl fmt::Debug for StatusMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusMetrics")
    }
}

impl Collector for StatusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.get();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge(
            "config_generation",
            "Configurations that have run since the start",
            status.generation as f64,
        )?;
        gauge(
            "config_since_seconds",
            "When the configuration that runs began to, as Unix time",
            status.since as f64 / 1000.0,
        )?;
        gauge(
            "config_accepted",
            "1 if all that was read last runs",
            f64::from(u8::from(status.accepted)),
        )?;
        gauge(
            "config_source_reachable",
            "0 while the place that documents come from cannot be reached",
            f64::from(u8::from(status.unreachable.is_none())),
        )?;
        let rejected = encoder.encode_descriptor(
            "config_rejected",
            "Reads of which not all runs",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(status.rejected).encode(rejected)?;
        let help = "What the configuration that runs means";
        let mut hash = encoder.encode_descriptor("config_hash", help, None, MetricType::Gauge)?;
        let labels = [("hash", status.hash.as_str())];
        ConstGauge::new(1_i64).encode(hash.encode_family(&labels)?)?;
        let help = "1 for each document that keeps its last good version, or is left out";
        let name = "config_document_rejected";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for document in status.documents.iter().filter(|own| own.refused.is_some()) {
            let labels = [("document", document.name.as_str())];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
