//! `push:` of the configuration, and what of it makes sense.

mod callers;

use std::net::SocketAddr;
use std::time::Duration;

use crate::secret::Secret;
use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::callers::GrpcCaller;

/// Where pushes come from, and how many may be under way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Where pushes come from. Default: nowhere.
    pub sources: Vec<PushSource>,
    /// How many pushes may be under way, and for how long.
    pub limits: PushLimits,
}

/// Where pushes come from.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushSource {
    /// `PushService` of `linkgate/v1/push.proto`, served here.
    pub grpc: GrpcSource,
}

/// How many pushes may be under way, and for how long. In numbers, a push to many receivers counts once for each.
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
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            unsettled: 100_000,
            unsettled_per_biz: 20_000,
            unsettled_bytes: ByteSize::mib(256),
            unsettled_bytes_per_biz: ByteSize::mib(64),
            max_wait: Duration::from_secs(900).into(),
        }
    }
}

/// `PushService`, served for backends.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSource {
    /// Address and port to serve on: `127.0.0.1:9902`. Others than loopback need `auth`.
    pub address: SocketAddr,
    /// Serve over TLS. Default: plain HTTP/2.
    #[serde(default)]
    pub tls: Option<GrpcTls>,
    /// Who may push for which businesses: one caller or a list. Default: everybody for all businesses, on loopback
    /// addresses only.
    #[serde(default, deserialize_with = "callers::one_or_many")]
    #[schemars(schema_with = "callers::one_or_many_schema")]
    pub auth: Vec<GrpcCaller>,
    /// Pushes that may be under way on one `PushStream`; beyond it the next ones are not read. Default: 256, at most
    /// 65536.
    #[serde(default = "GrpcSource::max_in_flight")]
    #[schemars(range(min = 1, max = 65536))]
    pub max_in_flight: u32,
    /// Calls that may be open on one connection; beyond it the caller's library makes them wait. Default: 256.
    #[serde(default = "GrpcSource::max_calls")]
    #[schemars(range(min = 1))]
    pub max_calls: u32,
    /// Connections; beyond it new ones wait to be accepted. Default: 256.
    #[serde(default = "GrpcSource::max_connections")]
    #[schemars(range(min = 1))]
    pub max_connections: u32,
    /// The largest push, with all its receivers. Default: 1MiB, at most 64MiB.
    #[serde(default = "GrpcSource::max_message")]
    pub max_message: ByteSize,
    /// A connection without traffic is pinged after this long, and dropped when it does not answer within 10s. Default:
    /// 30s.
    #[serde(default = "GrpcSource::keep_alive")]
    pub keep_alive: HumanDuration,
}

/// Certificates of a `PushService`. Each is given as PEM text, best by `${file:...}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcTls {
    /// The certificate chain, the server's own first.
    pub cert: String,
    /// The private key of `cert`.
    pub key: Secret,
    /// The authorities that callers' certificates have to come from. Needed for callers named by `client_cert`. A caller
    /// with a token need not have a certificate.
    #[serde(default)]
    pub client_ca: Option<String>,
}

impl GrpcSource {
    const MOST_IN_FLIGHT: u32 = 65_536;
    const LARGEST_MESSAGE: ByteSize = ByteSize::mib(64);

    fn max_in_flight() -> u32 {
        256
    }

    fn max_calls() -> u32 {
        256
    }

    fn max_connections() -> u32 {
        256
    }

    fn max_message() -> ByteSize {
        ByteSize::mib(1)
    }

    fn keep_alive() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    /// A source at this address with the defaults, as a config with nothing but `address` has it.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            auth: Vec::new(),
            max_in_flight: Self::max_in_flight(),
            max_calls: Self::max_calls(),
            max_connections: Self::max_connections(),
            max_message: Self::max_message(),
            keep_alive: Self::keep_alive(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        self.check_exposure(problems);
        for (i, caller) in self.auth.iter().enumerate() {
            let mut part = Problems::new();
            caller.check(self.tls.as_ref(), &mut part);
            problems.extend_under(&Path::from("auth").then(i), part);
        }
        if let Some(tls) = &self.tls {
            let mut part = Problems::new();
            tls.check(&mut part);
            problems.extend_under(&Path::from("tls"), part);
        }
        for (key, number) in [
            ("max_in_flight", self.max_in_flight),
            ("max_calls", self.max_calls),
            ("max_connections", self.max_connections),
        ] {
            at_least_one(key, number, problems);
        }
        if self.max_in_flight > Self::MOST_IN_FLIGHT {
            problems
                .at("max_in_flight", "more than 65536 on one stream")
                .hint("open several streams");
        }
        if self.max_message.bytes() == 0 || self.max_message > Self::LARGEST_MESSAGE {
            let what = format!("{} is not between 1B and 64MiB", self.max_message);
            problems
                .at("max_message", what)
                .hint("write a size such as `1MiB`");
        }
        if self.keep_alive.is_zero() {
            problems
                .at("keep_alive", "this has to be longer than 0s")
                .hint("write a duration such as `30s`");
        }
    }

    fn check_exposure(&self, problems: &mut Problems) {
        if !self.address.ip().is_loopback() && self.auth.is_empty() {
            let what = format!(
                "everybody who reaches {} could push to every user",
                self.address
            );
            problems
                .at("address", what)
                .hint("add `auth: [{ token: \"${file:secrets/push.token}\", biz_ids: [...] }]`, or serve on 127.0.0.1");
        }
    }
}

impl GrpcTls {
    fn check(&self, problems: &mut Problems) {
        // The texts are not repeated: one may be a key in the wrong place.
        let texts = [
            ("cert", Some(self.cert.as_str())),
            ("key", Some(self.key.expose())),
            ("client_ca", self.client_ca.as_deref()),
        ];
        for (key, text) in texts {
            if text.is_some_and(|text| !text.contains("-----BEGIN ")) {
                problems
                    .at(key, "this is no PEM text")
                    .hint(format!("write `{key}: \"${{file:tls/{key}.pem}}\"`"));
            }
        }
    }
}

impl PushLimits {
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
