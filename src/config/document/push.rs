//! What a document says of pushes.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Where messages for users come from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The sources. The lists of several documents are joined.
    pub sources: Vec<PushSource>,
}

/// A source of pushes, by its kind.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushSource {
    /// Backends call `linkgate.v1.PushService`.
    Grpc(GrpcSource),
}

/// An address at which backends call `linkgate.v1.PushService`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSource {
    /// Where it listens, such as `127.0.0.1:9902`.
    pub address: SocketAddr,
    /// The server's certificate, and who may show one. Default: no encryption.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Who may push, and to which businesses. At least one.
    #[schemars(length(min = 1))]
    pub auth: Vec<Caller>,
}

/// TLS of a server. All files are PEM; paths begin at the folder of the document.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The server's certificate, with what it was signed by.
    pub cert: PathBuf,
    /// The key of `cert`.
    pub key: PathBuf,
    /// The authorities that have signed callers' certificates. Default: callers show none.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Somebody who may push: known by a token, or by a certificate.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// What the caller sends as `authorization: Bearer ...`. Either this or `fingerprint`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The SHA-256 of the certificate that the caller shows, in hex, with or without colons. Needs `client_ca`. Either
    /// this or `token`.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The businesses whose users the caller may push to, at least one.
    #[schemars(length(min = 1))]
    pub biz_ids: Vec<String>,
}
