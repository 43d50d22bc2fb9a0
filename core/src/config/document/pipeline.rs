//! What a business's document says.

use std::collections::BTreeMap;
use std::time::Duration;

use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

/// The way of one business's messages: on which listeners, through which filters, within which limits.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The business: its clients' tokens name it.
    #[schemars(length(min = 1))]
    pub biz_id: String,
    /// The names of the listeners it is served on, at least one: nothing is exposed by accident.
    #[schemars(length(min = 1))]
    pub listeners: Vec<String>,
    /// The name of the profile whose filters it uses. Either this or `filters`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Its own filters, in the order that upstream messages pass them. Either this or `profile`.
    #[serde(default)]
    pub filters: Option<Vec<Entry>>,
    /// Changes to the configs of the profile's filters, by the filter's `id`. Mappings are merged key by key, anything
    /// else is replaced.
    #[serde(default, rename = "override")]
    #[schemars(with = "BTreeMap<String, serde_json::Map<String, serde_json::Value>>")]
    pub overrides: BTreeMap<String, Value>,
    /// The name of this version of the filters, as metrics show it. Default: standard.
    #[serde(default = "standard")]
    pub version: String,
    /// Another version of the filters, on trial with some of the users. Default: none.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// What the business may use of a node.
    #[serde(default)]
    pub limits: Limits,
}

fn standard() -> String {
    "standard".to_owned()
}

/// Another version of a pipeline's filters, on trial. Its links change over without closing, when it begins, when its share
/// changes, and when it is taken back. To end it well, make its filters and its `version` those of the pipeline.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The name of this version, as metrics show it. Another than the pipeline's own.
    #[schemars(length(min = 1))]
    pub version: String,
    /// How many of the users, in percent, from 0 to 100 with up to two decimals. Who is among them depends on the business,
    /// the user and the version's name alone: the same on each node, and a greater share keeps whom it had. Default: all.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<f64>,
    /// Only on nodes that have one of these `labels`. Default: on all nodes.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The name of the profile whose filters it uses. Default: the pipeline's own filters.
    #[serde(default)]
    pub profile: Option<String>,
    /// Its filters. Default: the pipeline's own.
    #[serde(default)]
    pub filters: Option<Vec<Entry>>,
    /// Changes to the configs of its filters, by the filter's `id`. With the pipeline's own filters they come on top of
    /// the pipeline's overrides.
    #[serde(default, rename = "override")]
    #[schemars(with = "BTreeMap<String, serde_json::Map<String, serde_json::Value>>")]
    pub overrides: BTreeMap<String, Value>,
}

impl Rollout {
    /// Whether a node with these labels takes part.
    pub(in crate::config) fn is_on(&self, labels: &[String]) -> bool {
        self.labels.is_empty() || self.labels.iter().any(|label| labels.contains(label))
    }
}

/// One filter of a pipeline or profile.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Names the filter within its pipeline. Default: what `use` says.
    #[serde(default)]
    pub id: Option<String>,
    /// Which filter it is.
    #[serde(rename = "use")]
    pub uses: String,
    /// What the filter is told.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: Value,
}

/// What one business may use of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open links in all; further ones are refused with 503. Default: 100000.
    #[schemars(range(min = 1))]
    pub links: u32,
    /// What the pushes that wait in all its links' mailboxes may weigh together; beyond it a push is rejected with
    /// `push.biz_queue_full`. Default: 256MiB.
    pub queued: ByteSize,
    /// Pushes to its users that have no outcome yet, by receiver; beyond it they are rejected as `push.overloaded`.
    /// Default: what `push.limits.unsettled_per_biz` says.
    #[schemars(range(min = 1))]
    pub unsettled_pushes: Option<u32>,
    /// Business messages of one link that have no outcome yet; further ones get a retryable NACK. Default: 256.
    #[schemars(range(min = 1))]
    pub unsettled: u32,
    /// What those messages may hold together; beyond it likewise. A link's only message is taken whatever it holds.
    /// Default: 1MiB.
    pub unsettled_bytes: ByteSize,
    /// Everything of one link that stands in line; beyond it the link's socket is not read. More than
    /// `unsettled_bytes`. Default: 4MiB.
    pub in_line: ByteSize,
    /// How long a link whose filters change has to settle what is under way in the old ones; what is left then settles as
    /// unknown. Default: 30s.
    pub change_over: HumanDuration,
    /// The part of the pipeline that its links share, where `batch` or another filter joins them.
    pub trunk: Trunk,
}

/// The bounds of the part of a pipeline that its links share: from the first filter that joins them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trunk {
    /// How many shards it has. Each link belongs to one of them, and each shard runs on one core at a time. From 1 to
    /// 1024. Default: 4.
    #[schemars(range(min = 1, max = 1024))]
    pub shards: u32,
    /// What the messages in one shard may weigh together, by body, key and 128 bytes each; as much again may stand before
    /// it, and then links wait, each for itself. At least 64KiB. Default: 16MiB.
    pub bytes: ByteSize,
    /// Messages of one link in the trunk; further ones wait in the link. Default: 64.
    #[schemars(range(min = 1))]
    pub per_link: u32,
}

impl Trunk {
    /// The most shards.
    pub(super) const MAX_SHARDS: u32 = 1024;
    /// The least room of a shard.
    pub(super) const MIN_BYTES: ByteSize = ByteSize::kib(64);
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            shards: 4,
            bytes: ByteSize::mib(16),
            per_link: 64,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links: 100_000,
            queued: ByteSize::mib(256),
            unsettled_pushes: None,
            unsettled: 256,
            unsettled_bytes: ByteSize::mib(1),
            in_line: ByteSize::mib(4),
            change_over: Duration::from_secs(30).into(),
            trunk: Trunk::default(),
        }
    }
}

impl From<Limits> for linkgate_filter::runner::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            unsettled: limits.unsettled as usize,
            unsettled_bytes: limits.unsettled_bytes.as_usize(),
            hard_bytes: limits.in_line.as_usize(),
            in_trunk: limits.trunk.per_link as usize,
            trunk_bytes: limits.trunk.bytes.as_usize(),
            trunk_shards: limits.trunk.shards as usize,
        }
    }
}
