//! `connections:` and `tls:` of an address for callers.

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Connections of callers. One counts as a stranger's until a request with a token or certificate that is known came over
/// it; where nobody is asked who it is, until any request came.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionLimits {
    /// Connections of callers that are known. The request of one more is refused. Default: 256.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// Those from one client address; an IPv6 client counts by its /64 network. Default: half of `max`.
    #[schemars(range(min = 1))]
    pub per_ip: Option<u32>,
    /// Connections of strangers, beside `max`. For one more, one is closed: of the address that has the most, the one that
    /// is open longest. So a caller gets in however many are silent. Default: 64.
    #[schemars(range(min = 1))]
    pub strangers: u32,
    /// From accepting a connection to its first request, TLS included. Default: 10s.
    pub handshake: HumanDuration,
    /// How long a stranger's connection may go without another request; on the admin address, any connection. Default: 60s.
    pub idle: HumanDuration,
    /// From the first byte of a request, or of a message on a stream, to its last. Default: 30s.
    pub request: HumanDuration,
    /// What requests and messages that have begun to come may weigh together. One connection may have half of it, a
    /// stranger's 64KiB. Beyond it a request is refused and may be sent again. Default: 128MiB.
    pub unfinished: ByteSize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max: 256,
            per_ip: None,
            strangers: 64,
            handshake: Duration::from_secs(10).into(),
            idle: Duration::from_secs(60).into(),
            request: Duration::from_secs(30).into(),
            unfinished: ByteSize::mib(128),
        }
    }
}

impl ConnectionLimits {
    /// Connections of known callers from one address.
    pub(super) fn of_one(&self) -> u32 {
        self.per_ip.unwrap_or((self.max / 2).max(1))
    }

    /// Notes what is wrong beyond the types of its values. `largest` is the largest request here.
    pub(crate) fn check(&self, largest: ByteSize, problems: &mut Problems) {
        for (key, number) in [
            ("max", Some(self.max)),
            ("per_ip", self.per_ip),
            ("strangers", Some(self.strangers)),
        ] {
            if number == Some(0) {
                problems
                    .at(key, "0 would let nobody in")
                    .hint("write 1 or more, or leave it out");
            }
        }
        for (key, time) in [
            ("handshake", self.handshake),
            ("idle", self.idle),
            ("request", self.request),
        ] {
            if time.is_zero() {
                problems
                    .at(key, "this must be longer than 0s")
                    .hint("write a duration such as `10s`");
            }
        }
        if self.unfinished.bytes() / 2 < largest.bytes() {
            let what = format!(
                "{} is less than twice the largest request ({largest})",
                self.unfinished
            );
            problems
                .at("unfinished", what)
                .hint("one connection may have half of it: write a size such as `128MiB`");
        }
    }
}

/// Certificates of an address for callers. Each is given as PEM text, best by `${file:...}`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub cert: String,
    /// The private key of `cert`.
    pub key: Secret,
    /// The authorities that callers' certificates have to come from. Needed for callers named by `client_cert`. A caller
    /// with a token need not have a certificate.
    #[serde(default)]
    pub client_ca: Option<String>,
}

impl Tls {
    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
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
