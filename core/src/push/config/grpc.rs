//! `grpc:` of a push source: `PushService` for backends.

use std::net::SocketAddr;
use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{GrpcCaller, at_least_one};
use crate::reception::{ConnectionLimits, Tls, credentials};

/// `PushService`, served for backends.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSource {
    /// Address and port to serve on: `127.0.0.1:9902`. Others than loopback need `auth`.
    pub address: SocketAddr,
    /// Serve over TLS. Default: plain HTTP/2.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who may push for which businesses: one caller or a list. Default: everybody for all businesses, on loopback
    /// addresses only.
    #[serde(default, deserialize_with = "credentials::one_or_many")]
    #[schemars(schema_with = "credentials::one_or_many_schema::<GrpcCaller>")]
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
    /// How many connections there may be, and how long they may take.
    #[serde(default)]
    pub connections: ConnectionLimits,
    /// The largest push, with all its receivers. Default: 1MiB, at most 64MiB.
    #[serde(default = "GrpcSource::max_message")]
    pub max_message: ByteSize,
    /// A connection is pinged this often, and dropped when it does not answer within 10s. Default: 30s.
    #[serde(default = "GrpcSource::keep_alive")]
    pub keep_alive: HumanDuration,
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
            connections: ConnectionLimits::default(),
            max_message: Self::max_message(),
            keep_alive: Self::keep_alive(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub(super) fn check(&self, problems: &mut Problems) {
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
        ] {
            at_least_one(key, number, problems);
        }
        let mut part = Problems::new();
        self.connections.check(self.max_message, &mut part);
        problems.extend_under(&Path::from("connections"), part);
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
