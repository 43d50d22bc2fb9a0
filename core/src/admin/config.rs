//! `admin:` of the configuration.

use std::net::SocketAddr;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reception::{ConnectionLimits, Tls, credentials};
use crate::secret::Secret;

/// The address for operators.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Where `/healthz`, `/readyz`, `/metrics`, `/v1/config` and `/v1/plan` are served, such as `127.0.0.1:9901`. Others
    /// than loopback need `auth`. Keep it away from clients.
    pub address: SocketAddr,
    /// Serve over TLS. Default: plain HTTP.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who may do what: one operator or a list. `/healthz` and `/readyz` answer everybody, `/v1/push` those that its source
    /// names. Default: everybody may do everything, on loopback addresses only.
    #[serde(default, deserialize_with = "credentials::one_or_many")]
    #[schemars(schema_with = "credentials::one_or_many_schema::<Operator>")]
    pub auth: Vec<Operator>,
    /// Names by which the address may be called, beside `localhost` and every IP address: a request with another name in
    /// its `Host` may come from a web page. Default: none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How many connections there may be, and how long they may take.
    #[serde(default)]
    pub connections: ConnectionLimits,
}

/// Somebody who may use the admin address, known by a token or by a certificate.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// The secret that is sent as `Authorization: Bearer ...`. At least 16 characters.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The name in the operator's certificate, as its common name or as a DNS name or URI among its alternative names.
    /// Needs `tls.client_ca`.
    #[serde(default)]
    pub client_cert: Option<String>,
    /// What it may do. Default: `[read]`.
    #[serde(default = "read")]
    pub scopes: Vec<Scope>,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at the node: metrics and status.
    Read,
    /// Have the node do something: work out what a change would do.
    Operate,
}

fn read() -> Vec<Scope> {
    vec![Scope::Read]
}

impl AdminConfig {
    /// The largest request.
    pub(crate) const LARGEST: ByteSize = ByteSize::mib(64);

    /// The address alone, with the defaults.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            auth: Vec::new(),
            hosts: Vec::new(),
            connections: ConnectionLimits::default(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if !self.address.ip().is_loopback() && self.auth.is_empty() {
            let what = format!(
                "everybody who reaches {} could read the node's configuration",
                self.address
            );
            problems
                .at("address", what)
                .hint("add `auth: [{ token: \"${file:secrets/admin.token}\", scopes: [read, operate] }]`, or serve on 127.0.0.1");
        }
        for (i, operator) in self.auth.iter().enumerate() {
            let mut part = Problems::new();
            let name = operator.client_cert.as_deref();
            credentials::check(operator.token.as_ref(), name, self.tls.as_ref(), &mut part);
            if operator.scopes.is_empty() {
                part.at("scopes", "the operator may do nothing")
                    .hint("write `scopes: [read]`, or `[read, operate]`");
            }
            problems.extend_under(&Path::from("auth").then(i), part);
        }
        for (i, host) in self.hosts.iter().enumerate() {
            if host.is_empty() || host.contains([':', '/', '*', ' ']) {
                problems
                    .at(
                        Path::from("hosts").then(i),
                        format!("`{host}` is no name of a host"),
                    )
                    .hint("write the name alone, such as `gateway.internal`");
            }
        }
        let mut part = Problems::new();
        if let Some(tls) = &self.tls {
            tls.check(&mut part);
        }
        problems.extend_under(&Path::from("tls"), part);
        let mut part = Problems::new();
        self.connections.check(Self::LARGEST, &mut part);
        problems.extend_under(&Path::from("connections"), part);
    }
}
