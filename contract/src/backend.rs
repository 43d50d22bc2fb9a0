//! What the configuration says of the backends that messages go to.

mod target;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::target::Target;
use crate::problem::{Path, Problems};
use crate::units::HumanDuration;

/// The backends a configuration names.
pub type Backends = BTreeMap<String, Backend>;

/// A business backend.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// A gRPC service: `BackendService`, or `BatchBackendService` behind a `batch`.
    pub grpc: GrpcBackend,
}

/// How a gRPC backend is reached.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcBackend {
    /// One or more of `http://host:port`, `https://host:port`, `host:port`, or `dns:///host:port` for all addresses of
    /// a name. Calls go to the endpoint with the fewest calls in flight.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<String>,
    /// TLS to the endpoints. Default: none.
    #[serde(default)]
    pub tls: Option<BackendTls>,
    /// HTTP/2 keep-alive. Default: a ping after 20s without traffic, and 5s for its answer.
    #[serde(default)]
    pub keep_alive: KeepAlive,
    /// How long a connection may take to open. Default: 3s.
    #[serde(default = "GrpcBackend::connect_timeout")]
    pub connect_timeout: HumanDuration,
    /// How often the names of `dns:///` endpoints are resolved again, whatever the TTL of their records: the system's resolver
    /// does not tell it, so keep this no longer than the TTL. After a failed connection, and for calls while no name has an
    /// address, it is done within a second. New addresses are taken in while connections live, those that are gone get no
    /// more calls, and a name that cannot be resolved keeps the addresses that it had. Default: 10s.
    #[serde(default = "GrpcBackend::resolve_every")]
    pub resolve_every: HumanDuration,
    /// How many addresses `dns:///` endpoints may come to; further ones are not used. Default: 64.
    #[serde(default = "GrpcBackend::max_addresses")]
    pub max_addresses: usize,
}

impl GrpcBackend {
    fn connect_timeout() -> HumanDuration {
        std::time::Duration::from_secs(3).into()
    }

    fn resolve_every() -> HumanDuration {
        std::time::Duration::from_secs(10).into()
    }

    fn max_addresses() -> usize {
        64
    }

    /// Where the endpoints are. [`GrpcBackend::check`] reports those that cannot be read; they are left out here.
    pub fn targets(&self) -> Vec<Target> {
        let read = |text: &String| Target::parse(text, self.tls.is_some()).ok();
        self.endpoints.iter().filter_map(read).collect()
    }

    /// A service at one endpoint, and the defaults for all else.
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self {
            endpoints: vec![endpoint.into()],
            tls: None,
            keep_alive: KeepAlive::default(),
            connect_timeout: Self::connect_timeout(),
            resolve_every: Self::resolve_every(),
            max_addresses: Self::max_addresses(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub fn check(&self, problems: &mut Problems) {
        if self.endpoints.is_empty() {
            problems
                .at("endpoints", "no endpoint is given")
                .hint("name at least one, such as `endpoints: [\"chat:50051\"]`");
        }
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            let place = Path::from("endpoints").then(i);
            if let Err(hint) = Target::parse(endpoint, self.tls.is_some()) {
                problems
                    .at(place, format!("`{endpoint}` is not an endpoint"))
                    .hint(hint);
            } else if self.endpoints[..i].contains(endpoint) {
                problems
                    .at(place, format!("`{endpoint}` is listed twice"))
                    .hint("remove one of them");
            }
        }
        for (path, duration) in [
            (Path::from("connect_timeout"), self.connect_timeout),
            (Path::from("resolve_every"), self.resolve_every),
            (
                Path::from(["keep_alive", "interval"]),
                self.keep_alive.interval,
            ),
            (
                Path::from(["keep_alive", "timeout"]),
                self.keep_alive.timeout,
            ),
        ] {
            if duration.is_zero() {
                problems
                    .at(path, "this has to be longer than 0s")
                    .hint("write a duration such as `3s`");
            }
        }
        if self.max_addresses == 0 {
            problems
                .at("max_addresses", "0 leaves no address to call")
                .hint("write 1 or more");
        }
        if let Some(tls) = &self.tls {
            let mut part = Problems::new();
            tls.check(&mut part);
            problems.extend_under(&Path::from("tls"), part);
        }
    }
}

/// TLS and mutual TLS towards a backend. All files are PEM.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendTls {
    /// Certificates to trust in place of the system's.
    #[serde(default)]
    pub ca: Option<std::path::PathBuf>,
    /// The gateway's own certificate, for mutual TLS. Needs `key`.
    #[serde(default)]
    pub cert: Option<std::path::PathBuf>,
    /// The key of `cert`.
    #[serde(default)]
    pub key: Option<std::path::PathBuf>,
    /// The name the backend's certificate has to bear. Default: the endpoint's host.
    #[serde(default)]
    pub domain: Option<String>,
    /// What the files held when the configuration was read, as one number: a file that changes is a change.
    #[serde(skip)]
    #[schemars(skip)]
    pub held: u64,
}

impl BackendTls {
    fn check(&self, problems: &mut Problems) {
        match (&self.cert, &self.key) {
            (Some(_), None) => {
                problems
                    .at("cert", "`cert` is given without its `key`")
                    .hint("add `key: key.pem`");
            }
            (None, Some(_)) => {
                problems
                    .at("key", "`key` is given without its `cert`")
                    .hint("add `cert: cert.pem`");
            }
            _ => {}
        }
    }
}

/// HTTP/2 pings on a connection.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepAlive {
    /// Time without traffic before a ping. Default: 20s.
    pub interval: HumanDuration,
    /// Time for the answer before the connection is dropped. Default: 5s.
    pub timeout: HumanDuration,
    /// Whether connections without a call are pinged too. Some servers close those that do it too often; the next call
    /// opens a new one. Default: true.
    pub while_idle: bool,
}

impl Default for KeepAlive {
    fn default() -> Self {
        let seconds = |s| std::time::Duration::from_secs(s).into();
        Self {
            interval: seconds(20),
            timeout: seconds(5),
            while_idle: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::deserialize;

    fn grpc(yaml: &str) -> Result<GrpcBackend, Problems> {
        let backend: GrpcBackend = deserialize(&serde_yaml::from_str(yaml).unwrap())?;
        let mut problems = Problems::new();
        backend.check(&mut problems);
        problems.into_result(backend)
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let problems =
            grpc("{ endpoints: [], tls: { cert: cert.pem }, connect_timeout: 0s }").unwrap_err();
        let places: Vec<String> = problems
            .iter()
            .map(|problem| problem.path.to_string())
            .collect();
        assert_eq!(places, ["endpoints", "connect_timeout", "tls.cert"]);
        assert!(grpc("endpoints: [a:1, a:1]").is_err());
        assert!(grpc("endpoints: [a:1]").is_ok());
    }
}
