//! `peers:` of the cluster: how nodes reach each other.

use std::net::SocketAddr;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reception::{ConnectionLimits, Tls, credentials};
use crate::secret::Secret;

/// How the nodes of a cluster reach each other. Each node opens one stream to each other one.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeersConfig {
    /// Address and port to serve other nodes on: `0.0.0.0:9903`. Others than loopback need `tls` or `token`.
    pub address: SocketAddr,
    /// Where other nodes reach this one, as `host:port`: `10.0.0.7:9903`. Default: `node.advertise`, else `address`, which then
    /// has to name one address of the machine and not all of them.
    #[serde(default)]
    pub advertise: Option<String>,
    /// Nodes prove who they are by certificates, and what they say is encrypted. All nodes have it, or none.
    #[serde(default)]
    pub tls: Option<PeersTls>,
    /// A secret that all nodes share. At least 16 characters. Without `tls` whoever can read the network between the nodes
    /// can read the token and the pushes. With `tls` it is asked for beside the certificate.
    #[serde(default)]
    pub token: Option<Secret>,
    /// What bodies of pushes from other nodes may weigh together while they are under way here. The nodes that have a
    /// stream to this one share it equally. Default: 64MiB.
    #[serde(default = "PeersConfig::budget")]
    pub budget: ByteSize,
    /// Pushes for one other node that wait until it has room. Beyond it a push fails as `push.peer_busy`, and can be tried
    /// again.
    #[serde(default)]
    pub queue: PeersQueue,
    /// Nodes that may have a stream to this one. Default: 1024.
    #[serde(default = "PeersConfig::max_nodes")]
    #[schemars(range(min = 1))]
    pub max_nodes: u32,
    /// The largest body of a push that another node may forward here. Default: 1MiB, at most 64MiB. Set it to the largest
    /// `max_message` of the sources of pushes, on all nodes alike.
    #[serde(default = "PeersConfig::max_body")]
    pub max_body: ByteSize,
}

/// Certificates of a node, each given as PEM text, best by `${file:...}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeersTls {
    /// The node's certificate chain, its own first. It is shown to nodes that connect, and to those connected to.
    pub cert: String,
    /// The private key of `cert`.
    pub key: Secret,
    /// The authorities that the certificates of all nodes have to come from. Best one that vouches for nothing else, or
    /// give `name`.
    pub ca: String,
    /// A DNS name that the certificates of all nodes bear: `linkgate.internal`. Whoever connects with another one is refused.
    /// Default: any certificate from `ca` may connect, and a node that is connected to has to bear the host of its address.
    #[serde(default)]
    pub name: Option<String>,
}

/// What waits until another node has room.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeersQueue {
    /// Pushes, one for each receiver. Default: 10000.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// What they may weigh together. Default: 16MiB.
    pub bytes: ByteSize,
}

impl Default for PeersQueue {
    fn default() -> Self {
        Self {
            max: 10_000,
            bytes: ByteSize::mib(16),
        }
    }
}

impl PeersConfig {
    const LARGEST_BODY: ByteSize = ByteSize::mib(64);

    /// Peers at this address with the defaults, as a config with nothing but `address` has them.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            advertise: None,
            tls: None,
            token: None,
            budget: Self::budget(),
            queue: PeersQueue::default(),
            max_nodes: Self::max_nodes(),
            max_body: Self::max_body(),
        }
    }

    fn budget() -> ByteSize {
        ByteSize::mib(64)
    }

    fn max_nodes() -> u32 {
        1024
    }

    fn max_body() -> ByteSize {
        ByteSize::mib(1)
    }

    /// How many connections there may be. Several nodes may be behind one address.
    pub(in crate::cluster) fn connections(&self) -> ConnectionLimits {
        ConnectionLimits {
            max: self.max_nodes,
            per_ip: Some(self.max_nodes),
            ..ConnectionLimits::default()
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub fn check(&self, problems: &mut Problems) {
        self.check_exposure(problems);
        match &self.advertise {
            Some(advertise) if !is_host_and_port(advertise) => {
                problems
                    .at("advertise", "this is not a host and a port")
                    .hint("write `10.0.0.7:9903` or `node-7.internal:9903`");
            }
            None if self.address.ip().is_unspecified() => {
                let what = format!("other nodes cannot reach {}", self.address.ip());
                problems.at("address", what).hint(
                    "add `advertise: \"10.0.0.7:9903\"` to `node`, where they reach this node",
                );
            }
            _ => {}
        }
        if self.token.is_some() {
            credentials::check(self.token.as_ref(), None, None, problems);
        }
        if let Some(tls) = &self.tls {
            let mut part = Problems::new();
            tls.check(&mut part);
            problems.extend_under(&Path::from("tls"), part);
        }
        self.check_sizes(problems);
    }

    /// Whether a node proves who it is.
    pub(in crate::cluster) fn is_open(&self) -> bool {
        self.tls.is_none() && self.token.is_none()
    }

    fn check_exposure(&self, problems: &mut Problems) {
        if self.is_open() && !self.address.ip().is_loopback() {
            let what = format!(
                "everybody who reaches {} could push to every user",
                self.address
            );
            problems
                .at("address", what)
                .hint("add `tls: { cert, key, ca }` or `token: \"${file:secrets/peers.token}\"`, or serve on 127.0.0.1");
        }
    }

    fn check_sizes(&self, problems: &mut Problems) {
        for (key, number) in [("max_nodes", self.max_nodes), ("queue", self.queue.max)] {
            if number == 0 {
                let path = match key {
                    "queue" => Path::from(key).then("max"),
                    _ => Path::from(key),
                };
                problems
                    .at(path, "0 would let nothing through")
                    .hint("write 1 or more, or leave it out");
            }
        }
        if self.max_body.bytes() == 0 || self.max_body > Self::LARGEST_BODY {
            let what = format!("{} is not between 1B and 64MiB", self.max_body);
            problems
                .at("max_body", what)
                .hint("write a size such as `1MiB`");
        }
        for (path, size) in [
            (Path::from("budget"), self.budget),
            (Path::from("queue").then("bytes"), self.queue.bytes),
        ] {
            if size < self.max_body {
                let what = format!("{size} is less than `max_body` ({})", self.max_body);
                problems
                    .at(path, what)
                    .hint("the largest push would never fit: write a size such as `64MiB`");
            }
        }
    }
}

impl PeersTls {
    /// As an address for callers has it.
    pub(in crate::cluster) fn server(&self) -> Tls {
        Tls {
            cert: self.cert.clone(),
            key: self.key.clone(),
            client_ca: Some(self.ca.clone()),
        }
    }

    fn check(&self, problems: &mut Problems) {
        // The texts are not repeated: one may be a key in the wrong place.
        let texts = [
            ("cert", self.cert.as_str()),
            ("key", self.key.expose()),
            ("ca", self.ca.as_str()),
        ];
        for (key, text) in texts {
            if !text.contains("-----BEGIN ") {
                problems
                    .at(key, "this is no PEM text")
                    .hint(format!("write `{key}: \"${{file:tls/{key}.pem}}\"`"));
            }
        }
        let name = self.name.as_deref();
        if name.is_some_and(|name| rustls_pki_types::DnsName::try_from(name).is_err()) {
            problems
                .at("name", "this is not a DNS name")
                .hint("write a name such as `linkgate.internal`, or leave it out");
        }
    }
}

/// Whether this can be dialled.
pub(in crate::cluster) fn is_host_and_port(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|authority| {
        let has_port = authority.port_u16().is_some_and(|port| port > 0);
        has_port && !authority.host().is_empty() && !text.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> Vec<String> {
        let config: PeersConfig = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    fn is_wrong(yaml: &str, what: &str) {
        let found = problems(yaml);
        let [problem] = &*found else {
            panic!("{yaml}: {found:?}");
        };
        assert!(problem.contains(what), "{yaml}: {problem}");
    }

    const TOKEN: &str = "token: 0123456789abcdef";

    #[test]
    fn what_makes_sense_is_taken_with_its_defaults() {
        let config: PeersConfig = serde_yaml::from_str("{ address: 127.0.0.1:9903 }").unwrap();
        assert_eq!(config, PeersConfig::at("127.0.0.1:9903".parse().unwrap()));
        for yaml in [
            "{ address: 127.0.0.1:9903 }",
            &format!("{{ address: 0.0.0.0:9903, advertise: \"10.0.0.7:9903\", {TOKEN} }}"),
            &format!("{{ address: 0.0.0.0:9903, advertise: \"[fd00::7]:9903\", {TOKEN} }}"),
            &format!(
                "{{ address: 10.0.0.7:9903, {TOKEN}, max_body: 64MiB, queue: {{ bytes: 64MiB }} }}"
            ),
        ] {
            assert_eq!(problems(yaml), Vec::<String>::new(), "{yaml}");
        }
    }

    #[test]
    fn strangers_reach_nothing_but_loopback() {
        is_wrong("{ address: 10.0.0.7:9903 }", "everybody");
        is_wrong(
            "{ address: 0.0.0.0:9903, token: 0123456789abcdef }",
            "cannot reach",
        );
        is_wrong("{ address: 127.0.0.1:9903, token: short }", "guessed");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for advertise in [
            "10.0.0.7",
            ":9903",
            "http://a:9903",
            "a:99999",
            "u@a:9903",
            "a:0",
        ] {
            let yaml = format!("{{ address: 127.0.0.1:9903, advertise: \"{advertise}\" }}");
            is_wrong(&yaml, "not a host and a port");
        }
        for (key, what) in [
            ("max_body: 0B", "not between"),
            ("max_nodes: 0", "nothing through"),
            ("queue: { max: 0 }", "nothing through"),
            ("queue: { bytes: 1KiB }", "less than `max_body`"),
            ("budget: 1KiB", "less than `max_body`"),
            (
                "tls: { cert: \"-----BEGIN \", key: \"-----BEGIN \", ca: x }",
                "no PEM",
            ),
            (
                "tls: { cert: \"-----BEGIN \", key: \"-----BEGIN \", ca: \"-----BEGIN \", name: \"a b\" }",
                "not a DNS name",
            ),
        ] {
            is_wrong(&format!("{{ address: 127.0.0.1:9903, {key} }}"), what);
        }
    }
}
