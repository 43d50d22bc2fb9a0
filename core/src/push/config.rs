//! `push:` of the configuration, and what of it makes sense.

mod callers;
mod grpc;
mod http;
mod topic;

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::outbox::Destination;

pub use self::callers::GrpcCaller;
pub use self::grpc::GrpcSource;
pub use self::http::HttpSource;
pub use self::topic::{OnExpired, Ready, Routing, TopicSource};

/// Where pushes come from, and how many may be under way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Where pushes come from. Default: nowhere.
    pub sources: Vec<PushSource>,
    /// Who is told what became of each push from a topic, for each receiver: `PushReport` of
    /// `linkgate/v1/report.proto`, in a topic or by `PushReportService`. Default: nobody.
    pub reports: Option<Destination>,
    /// How many pushes may be under way, and for how long.
    pub limits: PushLimits,
}

/// Where pushes come from: one of `grpc`, `kafka` and `http`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushSource {
    /// `PushService` of `linkgate/v1/push.proto`, served here.
    pub grpc: Option<GrpcSource>,
    /// A topic of a broker, whatever its kind.
    pub kafka: Option<TopicSource>,
    /// `POST /v1/push` on the admin address, for scripts and curl.
    pub http: Option<HttpSource>,
    /// How a push finds the node of its user; `broadcast` is for `kafka` only. Default: `directory` where `cluster.directory`
    /// is set, else `local`; where documents come from etcd, which several nodes may follow, and there is no directory, it has
    /// to be written for `kafka`.
    pub routing: Option<Routing>,
    /// Whether the node is ready (`/readyz`) while the topic cannot be read, or another member of the group reads part of
    /// what this node is to read alone; says something of `kafka` only. Default: ignored for the first, required for the
    /// second.
    pub ready: Option<Ready>,
}

impl PushSource {
    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        let kinds = [
            ("grpc", self.grpc.is_some()),
            ("kafka", self.kafka.is_some()),
            ("http", self.http.is_some()),
        ];
        let mut named = kinds.iter().filter(|(_, is_named)| *is_named);
        match (named.next(), named.next()) {
            (None, _) => {
                problems
                    .at(Path::root(), "this source names no kind")
                    .hint("write one of `grpc: {...}`, `kafka: {...}` and `http: {...}`");
            }
            (Some((one, _)), Some((other, _))) => {
                problems
                    .at(*other, format!("this source is a `{one}` source already"))
                    .on_key()
                    .hint("make two sources of them");
            }
            _ => {}
        }
        if self.routing == Some(Routing::Broadcast) && self.kafka.is_none() {
            problems
                .at("routing", "only a topic can be read by all nodes")
                .hint("remove it");
        }
        if self.ready.is_some() && self.kafka.is_none() {
            problems
                .at("ready", "only a topic can be out of reach")
                .on_key()
                .hint("remove it");
        }
        let mut part = |key: &'static str, check: &dyn Fn(&mut Problems)| {
            let mut part = Problems::new();
            check(&mut part);
            problems.extend_under(&Path::from(key), part);
        };
        if let Some(grpc) = &self.grpc {
            part("grpc", &|problems| grpc.check(problems));
        }
        if let Some(kafka) = &self.kafka {
            part("kafka", &|problems| kafka.check(problems));
        }
        if let Some(http) = &self.http {
            part("http", &|problems| http.check(problems));
        }
    }
}

/// How many pushes may be under way, and for how long. In numbers, a push to many receivers counts once for each. What a
/// topic has parked counts apart, up to as much again as the node's limits say.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushLimits {
    /// On the node; beyond it, pushes are rejected as `push.overloaded`. Default: 100000.
    #[schemars(range(min = 1))]
    pub unsettled: u32,
    /// For one business that has no `limits.unsettled_pushes` of its own; beyond it likewise. Default: 20000.
    #[schemars(range(min = 1))]
    pub unsettled_per_biz: u32,
    /// What the pushes under way on the node may weigh, by key, body and 256 bytes for each; a push to many receivers
    /// counts once. Beyond it likewise. Default: 256MiB.
    pub unsettled_bytes: ByteSize,
    /// What those of one business may weigh. Default: 64MiB.
    pub unsettled_bytes_per_biz: ByteSize,
    /// A push that is not settled after this long is answered as expired, even if its links still try. Should be longer
    /// than retransmission goes on. Default: 15m, at most 1d.
    pub max_wait: HumanDuration,
    /// Pushes that may have reached their receivers and are remembered, each by some 150 bytes, so that another body under
    /// the same key is rejected as `push.key_reused`; the oldest are forgotten first. 0 remembers none. Default: 100000.
    pub remembered: u32,
    /// How long they are remembered at the most. Default: 10m.
    pub remember_for: HumanDuration,
    /// Pushes from other nodes that this node's links have had in the last minute, each remembered by some 150 bytes, so that
    /// one that comes again is not sent again; the oldest are forgotten first. Default: 1000000.
    pub remembered_forwarded: u32,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            unsettled: 100_000,
            unsettled_per_biz: 20_000,
            unsettled_bytes: ByteSize::mib(256),
            unsettled_bytes_per_biz: ByteSize::mib(64),
            max_wait: Duration::from_secs(900).into(),
            remembered: 100_000,
            remember_for: Duration::from_secs(600).into(),
            remembered_forwarded: 1_000_000,
        }
    }
}

impl PushLimits {
    /// How long pushes from other nodes are remembered: longer than a node goes on asking.
    pub(super) const REMEMBER_FORWARDED_FOR: Duration = Duration::from_secs(60);
    const LEAST_BYTES: ByteSize = ByteSize::kib(64);
    const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        at_least_one("unsettled", self.unsettled, problems);
        at_least_one("unsettled_per_biz", self.unsettled_per_biz, problems);
        for (key, size) in [
            ("unsettled_bytes", self.unsettled_bytes),
            ("unsettled_bytes_per_biz", self.unsettled_bytes_per_biz),
        ] {
            if size < Self::LEAST_BYTES {
                problems
                    .at(key, format!("{size} is less than 64KiB"))
                    .hint("write a size such as `64MiB`");
            }
        }
        if self.max_wait.is_zero() || *self.max_wait > Self::LONGEST_WAIT {
            problems
                .at(
                    "max_wait",
                    format!("{} is not between 1s and 1d", self.max_wait),
                )
                .hint("write a duration such as `15m`");
        }
    }
}

fn at_least_one(key: &str, number: u32, problems: &mut Problems) {
    if number == 0 {
        problems
            .at(key, "0 would let nothing through")
            .hint("write 1 or more, or leave it out");
    }
}

#[cfg(test)]
mod tests;
