//! Which etcd, and the place in it, as a document or a command line says it. Nothing is connected here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// An etcd, version 3.4 or later, and the place in it that is linkgate's.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdSource {
    /// The members of the cluster, each as `host:port`. One after the other is tried until one answers.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<String>,
    /// What all keys begin with, such as `/linkgate/prod`; a slash at its end makes no difference. Documents are the keys
    /// under `documents/` below it. Default: `/linkgate`.
    #[serde(default = "EtcdSource::prefix")]
    pub prefix: String,
    /// TLS towards etcd; `{}` trusts the system's authorities. Default: none.
    #[serde(default)]
    pub tls: Option<EtcdTls>,
    /// Who linkgate is for etcd. Its role needs to read and write below the prefix. Needs `password`. Default: nobody.
    #[serde(default)]
    pub user: Option<String>,
    /// The password of `user`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How long an operation may take, with attempts at other members. Default: 5s, at least 100ms.
    #[serde(default = "EtcdSource::timeout")]
    pub timeout: HumanDuration,
}

/// TLS and mutual TLS towards etcd. All files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdTls {
    /// Certificates to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate, for mutual TLS. Needs `key`. Read anew with each connection.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
    /// The name that the certificates of etcd have to bear. Default: the endpoint's host.
    pub domain: Option<String>,
}

impl fmt::Display for EtcdSource {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        let prefix = self.prefix.trim_end_matches('/');
        write!(f, "{scheme}://{}{prefix}", self.endpoints.join(","))
    }
}

impl EtcdSource {
    const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

    /// The same with relative paths begun at `folder`.
    pub(crate) fn below(mut self, folder: &std::path::Path) -> Self {
        if let Some(tls) = &mut self.tls {
            for path in [&mut tls.ca, &mut tls.cert, &mut tls.key] {
                *path = path.take().map(|path| folder.join(path));
            }
        }
        self
    }

    fn prefix() -> String {
        "/linkgate".to_owned()
    }

    pub(super) fn timeout() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    /// Notes what is wrong beyond the types of its values.
    pub fn check(&self, problems: &mut Problems) {
        if self.endpoints.is_empty() {
            problems
                .at("endpoints", "no member of etcd is named")
                .hint("write `endpoints: [\"127.0.0.1:2379\"]`");
        }
        for (i, endpoint) in self.endpoints.iter().enumerate() {
            if !is_endpoint(endpoint) {
                // What is wrong is not repeated: it may hold a password.
                problems
                    .at(Path::from("endpoints").then(i), "this is no `host:port`")
                    .hint("write `host:2379`, without a scheme; `tls: {}` makes it TLS");
            }
        }
        if let Err(why) = check_prefix(&self.prefix) {
            problems
                .at("prefix", why)
                .hint("write a path such as `/linkgate/prod`");
        }
        let pairs = |tls: &EtcdTls| (tls.cert.is_some(), tls.key.is_some());
        match self.tls.as_ref().map(pairs) {
            Some((true, false)) => {
                problems
                    .at(["tls", "cert"], "`cert` is given without its `key`")
                    .hint("add `key: key.pem`");
            }
            Some((false, true)) => {
                problems
                    .at(["tls", "key"], "`key` is given without its `cert`")
                    .hint("add `cert: cert.pem`");
            }
            _ => {}
        }
        match (&self.user, &self.password) {
            (Some(_), None) => {
                problems
                    .at("user", "`user` is given without a `password`")
                    .hint("add `password: \"${file:etcd.password}\"`");
            }
            (None, Some(_)) => {
                problems
                    .at("password", "`password` is given without a `user`")
                    .hint("add `user: linkgate`");
            }
            _ => {}
        }
        if *self.timeout < Self::LEAST_TIMEOUT {
            problems
                .at("timeout", "this has to be at least 100ms")
                .hint("write a duration such as `5s`");
        }
        if cfg!(not(feature = "etcd")) {
            problems
                .at(Path::root(), "this program was built without etcd")
                .hint("build it with the cargo feature `etcd`");
        }
    }
}

/// Whether this is `host:port`, with an address of IPv6 in brackets.
pub(super) fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if !prefix.starts_with('/') {
        return Err("this does not begin with a slash");
    }
    if prefix.trim_end_matches('/').is_empty() {
        return Err("this names no place of its own in etcd");
    }
    if prefix.trim_end_matches('/').contains("//") || prefix.contains(char::is_control) {
        return Err("this holds empty parts or control characters");
    }
    Ok(())
}
