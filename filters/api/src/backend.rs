//! What the configuration says of the backends that messages go to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

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
}

impl GrpcBackend {
    fn connect_timeout() -> HumanDuration {
        std::time::Duration::from_secs(3).into()
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
}

/// HTTP/2 pings on a connection.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepAlive {
    /// Time without traffic before a ping. Default: 20s.
    pub interval: HumanDuration,
    /// Time for the answer before the connection is dropped. Default: 5s.
    pub timeout: HumanDuration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        let seconds = |s| std::time::Duration::from_secs(s).into();
        Self {
            interval: seconds(20),
            timeout: seconds(5),
        }
    }
}
