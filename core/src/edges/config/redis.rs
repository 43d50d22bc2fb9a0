//! `redis:` of a store.

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Redis, or what speaks its protocol: one server, a cluster, or a master that sentinels know. One of `url`, `cluster` and
/// `sentinel` says which.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// One server: `redis://host:port/db`, `rediss://` over TLS; with `user:password@` before the host where it is needed.
    #[serde(default)]
    pub url: Option<Secret>,
    /// Some nodes of a cluster, by their URLs; the others are learnt from them.
    #[serde(default)]
    pub cluster: Vec<Secret>,
    /// A master that sentinels know.
    #[serde(default)]
    pub sentinel: Option<RedisSentinel>,
    /// Authorities to trust for `rediss://` in place of the system's: PEM text, best by `${file:...}`.
    #[serde(default)]
    pub ca: Option<String>,
    /// How long an operation may take, connecting included. Default: 2s.
    #[serde(default = "RedisConfig::timeout")]
    pub timeout: HumanDuration,
    /// Operations under way; beyond it further ones fail at once. Default: 10000.
    #[serde(default = "RedisConfig::max_in_flight")]
    #[schemars(range(min = 1))]
    pub max_in_flight: u32,
}

/// A master that sentinels know.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSentinel {
    /// The sentinels: `redis://host:port`, with `user:password@` before the host where it is needed.
    #[schemars(length(min = 1))]
    pub urls: Vec<Secret>,
    /// The master's name.
    pub master: String,
    /// How the master is reached once it is found: a URL whose host is ignored, such as `redis://user:password@master/1`.
    /// Default: plain, without a password, database 0.
    #[serde(default)]
    pub master_url: Option<Secret>,
}

impl RedisConfig {
    fn timeout() -> HumanDuration {
        Duration::from_secs(2).into()
    }

    fn max_in_flight() -> u32 {
        10_000
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let ways = [
            self.url.is_some(),
            !self.cluster.is_empty(),
            self.sentinel.is_some(),
        ];
        if ways.iter().filter(|is_named| **is_named).count() != 1 {
            problems
                .at(
                    Path::root(),
                    "exactly one of `url`, `cluster` and `sentinel` has to be there",
                )
                .hint("write `url: redis://127.0.0.1:6379` for one server");
        }
        let urls = self.url.iter().map(|url| (Path::from("url"), url));
        let cluster = self.cluster.iter().enumerate();
        let cluster = cluster.map(|(i, url)| (Path::from("cluster").then(i), url));
        for (path, url) in urls.chain(cluster) {
            check_url(path, url, problems);
        }
        if let Some(sentinel) = &self.sentinel {
            sentinel.check(problems);
        }
        if self
            .ca
            .as_ref()
            .is_some_and(|ca| !ca.contains("-----BEGIN "))
        {
            problems
                .at("ca", "this is no PEM text")
                .hint("write `ca: \"${file:tls/ca.pem}\"`");
        }
        if self.timeout.is_zero() {
            problems
                .at("timeout", "this has to be longer than 0s")
                .hint("write a duration such as `2s`");
        }
        if self.max_in_flight == 0 {
            problems
                .at("max_in_flight", "0 would let nothing through")
                .hint("write 1 or more, or leave it out");
        }
    }
}

impl RedisSentinel {
    fn check(&self, problems: &mut Problems) {
        let at = |key: &'static str| Path::from(["sentinel", key]);
        if self.urls.is_empty() {
            problems.at(at("urls"), "no sentinel is named");
        }
        for (i, url) in self.urls.iter().enumerate() {
            check_url(at("urls").then(i), url, problems);
        }
        if self.master.is_empty() {
            problems.at(at("master"), "the master has a name");
        }
        if let Some(url) = &self.master_url {
            check_url(at("master_url"), url, problems);
        }
    }
}

/// What is wrong is not repeated: it may hold a password.
fn check_url(path: Path, url: &Secret, problems: &mut Problems) {
    let rest = ["redis://", "rediss://"].iter();
    let rest = rest
        .filter_map(|scheme| url.expose().strip_prefix(scheme))
        .next();
    if rest.is_none_or(str::is_empty) {
        problems
            .at(path, "this is no URL of a Redis")
            .hint("write `redis://host:port`, or `rediss://host:port` for TLS");
    }
}
