//! Where an endpoint is, and how it is connected to.

use std::sync::Arc;

use linkgate_filter::backend::{BackendTls, KeepAlive};
use linkgate_filter::units::HumanDuration;

/// Where and how to connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// What is dialled: `scheme://host-or-address:port`.
    pub uri: http::Uri,
    /// What the backend is called in requests and certificates: `scheme://host:port`.
    pub origin: http::Uri,
    /// What the endpoints of one backend share.
    pub settings: Arc<Settings>,
}

/// How to connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// For `https`; `None`: the roots that the system trusts.
    pub tls: Option<BackendTls>,
    /// Pings that find out a dead connection.
    pub keep_alive: KeepAlive,
    /// For all of it: TCP, TLS and HTTP/2.
    pub connect_timeout: HumanDuration,
}
