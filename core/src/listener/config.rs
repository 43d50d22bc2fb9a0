//! What can be said about a listener in the config. The doc comments of the fields are the user docs. Nothing here
//! opens a socket, and nothing here knows the rooms that are configured.

mod auth;
mod compression;
mod network;

use std::net::SocketAddr;
use std::time::Duration;

use linkgate_filter::Nacks;
use linkgate_filter::units::{ByteSize, HumanDuration, Rate};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::auth::{Algorithm, AuthConfig, JwtIssuer, JwtKey, OnExpiry};
pub use self::compression::Compression;
pub use self::network::Network;
use crate::link::SecondLogin;
use crate::secret::Secret;

/// An address that accepts links, and on which terms.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// The name by which pipelines refer to this listener. Letters, digits, `_` and `-`; at most 64.
    pub name: String,
    /// Address and port to accept on: `0.0.0.0:8080`, `127.0.0.1:8080`, `[::]:8080`.
    pub address: SocketAddr,
    /// Certificate and key; without them the listener speaks plain `ws://`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Whether a load balancer in front names the client by a PROXY protocol header: `off` (default), `v1`, `v2` or
    /// `any`. The header is read from `trusted_proxies` alone, and is required of them; other peers are taken as
    /// clients.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Networks of the proxies in front, such as `10.0.0.0/8`. Their PROXY header and their `X-Forwarded-For` are
    /// believed; nobody else's are. None by default.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Who may open a link: `jwt: [...]`, or `insecure_query` to try things out.
    pub auth: AuthConfig,
    /// `auth: insecure_query` lets anybody be anybody. On an address that others can reach it is refused unless this
    /// says `true` as well.
    #[serde(default)]
    pub expose_insecure_query: bool,
    /// Origins whose web pages may open links: `https://chat.example.com`, or `https://*.example.com` for all hosts
    /// below. Empty (default): all. Clients that send no `Origin`, as apps do, are not concerned.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where and what a client may speak.
    #[serde(default)]
    pub websocket: WebSocketOptions,
    /// A path at which balancers may ask for the health, such as `/healthz`: by GET or HEAD, without a token, on the port that
    /// serves. 200 while the node wants traffic, 503 while it does not, as `/readyz` of the admin address; when the node stops, the
    /// port is closed at once. Such a question takes one of the handshakes in progress for as long as it lasts. None by default.
    #[serde(default)]
    pub health: Option<String>,
    /// In which form messages travel: `any` (default: the client chooses by the subprotocol `linkgate.v1.proto` or
    /// `linkgate.v1.json`, and a client that offers neither gets protobuf), `protobuf` or `json`.
    #[serde(default)]
    pub form: FormChoice,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How many links are let in, and how fast.
    #[serde(default)]
    pub admission: AdmissionConfig,
    /// What happens when a user's device that has a link opens another: `replace` (default: the older one is closed),
    /// `reject` (the newer one is closed), or `allow: N` for up to N side by side.
    #[serde(default)]
    pub second_login: SecondLogin,
    /// What a client gets where it knows no UPSTREAM_NACK: `nack` (default: it gets it anyway), `rate_limit_exceeded`
    /// (that command in its place), or `silence`. For clients that know commands 1 to 7 only.
    #[serde(default)]
    pub legacy_nacks: LegacyNacks,
    /// How fast links leave that nothing serves any more, because their pipeline or this listener was removed; `200/s` by
    /// default.
    #[serde(default = "default_drain")]
    pub drain: Rate,
    /// Let several processes accept on the same address (`SO_REUSEPORT`). `false` by default.
    #[serde(default)]
    pub reuse_port: bool,
    /// Connections the kernel keeps waiting to be accepted; 1024 by default. The kernel has a limit of its own.
    #[serde(default = "default_backlog")]
    pub backlog: u32,
}

/// The listener's certificate.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain in PEM, leaf first: the path of a file, or the text itself as `${file:...}` gives it.
    pub cert: String,
    /// The private key in PEM, likewise.
    pub key: Secret,
    /// Why a file cannot be read, by the key that names it. What the others hold stands in place of their paths.
    #[serde(skip)]
    #[schemars(skip)]
    pub unread: Vec<(&'static str, String)>,
}

/// Which PROXY protocol headers are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// None.
    #[default]
    Off,
    /// The text form.
    V1,
    /// The binary form.
    V2,
    /// Either.
    Any,
}

impl ProxyProtocol {
    /// Whether the text form is read.
    pub fn takes_v1(self) -> bool {
        matches!(self, Self::V1 | Self::Any)
    }

    /// Whether the binary form is read.
    pub fn takes_v2(self) -> bool {
        matches!(self, Self::V2 | Self::Any)
    }
}

/// Where and what a client may speak.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketOptions {
    /// The path that links are opened at; `/ws` by default.
    pub path: String,
    /// The largest message a client may send, and the largest frame; `128KiB` by default, at most `64MiB`. A larger one
    /// closes its link. Of a compressed message no more is unpacked either.
    pub max_message: ByteSize,
    /// The largest frame that is sent to a client, in the form that its link speaks: with base64 and the cipher's share,
    /// before compression; `1MiB` by default, at most `64MiB`. A push that would make a larger one is rejected with
    /// `push.too_big`, and of an answer that would, the client gets the acknowledgement alone, with `answer.too_big`.
    pub max_outgoing: ByteSize,
    /// What the pushes that wait in one link's mailbox may weigh; `256KiB` by default. Beyond it a push is rejected with
    /// `link.queue_full`.
    pub max_queued: ByteSize,
    /// Frames that are read of one link per second, of any kind, with one second's worth at once; `2000/s` by default.
    /// Beyond it the link is not read until it may send again. A message may come in a few pieces; many small ones count
    /// as a frame each.
    pub max_frames: Rate,
    /// Payload that is read of one link per second, likewise; `8MiB` by default, and at least `max_message`. A compressed
    /// message counts with what is unpacked from it.
    pub max_bytes_per_second: ByteSize,
    /// What unfinished messages of all links may hold, counted as they arrive; `64MiB` by default, and at least
    /// `max_message`. Beyond it a link whose message is to grow is closed with 4006 `overloaded`. Messages that come in one
    /// frame of up to 2 KiB do not count; one that comes compressed counts 48 KiB more.
    pub max_unfinished: ByteSize,
    /// What those from one client address may hold; a sixteenth of `max_unfinished` by default, but at least `max_message`.
    /// Addresses count as for `admission.per_ip`.
    pub max_unfinished_per_ip: Option<ByteSize>,
    /// The largest request head (line and headers together) that opens a link; `8KiB` by default, `1KiB` to `64KiB`.
    pub max_header: ByteSize,
    /// Compression of messages (permessage-deflate, RFC 7692) for clients that offer it; off by default.
    pub compression: Compression,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            path: "/ws".to_owned(),
            max_message: ByteSize::kib(128),
            max_outgoing: ByteSize::mib(1),
            max_queued: ByteSize::kib(256),
            max_frames: Rate::per_second_of(2000),
            max_bytes_per_second: ByteSize::mib(8),
            max_unfinished: ByteSize::mib(64),
            max_unfinished_per_ip: None,
            max_header: ByteSize::kib(8),
            compression: Compression::default(),
        }
    }
}

impl WebSocketOptions {
    /// What the unfinished messages from one client address may hold.
    pub fn unfinished_of_one(&self) -> ByteSize {
        let usual = ByteSize::new(self.max_unfinished.bytes() / 16).max(self.max_message);
        self.max_unfinished_per_ip.unwrap_or(usual)
    }
}

/// Which forms a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormChoice {
    /// The client chooses.
    #[default]
    Any,
    /// Protobuf in binary frames.
    Protobuf,
    /// JSON in text frames.
    Json,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From accepting a connection to an open link, TLS and PROXY header included; `5s` by default.
    pub handshake: HumanDuration,
    /// A link on which nothing at all was heard for so long, not even a byte of a frame, is closed; `60s` by default.
    pub idle: HumanDuration,
    /// A link on which nothing was heard for so long is pinged; `25s` by default, and less than `idle`.
    pub ping: HumanDuration,
    /// A message that has begun to arrive, in one frame or in several, has to be there after so long; `60s` by default.
    /// Otherwise its link is closed with 4005 `message_timeout`. Time in which the link is not read does not count.
    pub message: HumanDuration,
    /// A link that takes nothing of what is sent to it for so long is closed as slow; `10s` by default.
    pub write: HumanDuration,
    /// How long a link that is closed waits for the client's goodbye; `3s` by default.
    pub close: HumanDuration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5).into(),
            idle: Duration::from_secs(60).into(),
            ping: Duration::from_secs(25).into(),
            message: Duration::from_secs(60).into(),
            write: Duration::from_secs(10).into(),
            close: Duration::from_secs(3).into(),
        }
    }
}

/// How many links are let in, and how fast. What is too much gets `503` and a `Retry-After`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// Links of this listener in all; `100000` by default.
    pub max_links: u32,
    /// Links from one client address. No limit by default. An IPv6 client counts by its /64 network; a trusted proxy that
    /// names no client is not limited.
    pub per_ip: Option<u32>,
    /// How many new links a second. No limit by default.
    pub links_per_second: Option<LinksPerSecond>,
    /// Handshakes in progress; `1024` by default. While so many are, no further connection is accepted: it waits in the
    /// kernel's queue. Besides them up to a quarter as many refused connections are seen off, for up to a second each.
    pub max_handshakes: u32,
    /// Handshakes in progress from one client address; a sixteenth of `max_handshakes` by default, and no more than
    /// `per_ip`. Addresses count as for `per_ip`: a client behind a proxy that speaks the PROXY protocol counts by its own;
    /// a trusted proxy that names no client before its request is not limited.
    pub handshakes_per_ip: Option<u32>,
    /// Handshakes in progress from one network of client addresses: an IPv4 /24, an IPv6 /48. A quarter of `max_handshakes`
    /// by default, and at least `handshakes_per_ip`.
    pub handshakes_per_network: Option<u32>,
    /// What `Retry-After` says, `5s` by default. Each client is told a time between this and twice this, so that they do
    /// not all come back at once.
    pub retry_after: HumanDuration,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            max_links: 100_000,
            per_ip: None,
            links_per_second: None,
            max_handshakes: 1024,
            handshakes_per_ip: None,
            handshakes_per_network: None,
            retry_after: Duration::from_secs(5).into(),
        }
    }
}

impl AdmissionConfig {
    /// Handshakes that one address may have in progress.
    pub fn handshakes_of_one(&self) -> u32 {
        let share = (self.max_handshakes / 16).max(1);
        let usual = self.per_ip.map_or(share, |links| share.min(links));
        self.handshakes_per_ip.unwrap_or(usual)
    }

    /// Handshakes that one network of addresses may have in progress.
    pub fn handshakes_of_network(&self) -> u32 {
        let usual = (self.max_handshakes / 4).max(self.handshakes_of_one());
        self.handshakes_per_network.unwrap_or(usual)
    }

    /// Refused connections that are seen off at once.
    pub fn farewells(&self) -> u32 {
        (self.max_handshakes / 4).max(1)
    }
}

/// A pace for new links that starts slowly, so that a crowd of returning clients does not overrun the backends.
/// Up to one second's worth may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinksPerSecond {
    /// Links a second at the start.
    pub initial: u32,
    /// How many more it becomes at each step; `0` by default.
    #[serde(default)]
    pub step: u32,
    /// The time between two steps; `1s` by default.
    #[serde(default = "one_second")]
    pub every: HumanDuration,
    /// Links a second at the end; as `initial` by default.
    #[serde(default)]
    pub max: Option<u32>,
}

/// What a client gets in place of an UPSTREAM_NACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegacyNacks {
    /// The NACK itself.
    #[default]
    Nack,
    /// RATE_LIMIT_EXCEEDED with the same key.
    RateLimitExceeded,
    /// Nothing.
    Silence,
}

impl From<LegacyNacks> for Nacks {
    fn from(choice: LegacyNacks) -> Self {
        match choice {
            LegacyNacks::Nack => Self::Sent,
            LegacyNacks::RateLimitExceeded => Self::AsRateLimitExceeded,
            LegacyNacks::Silence => Self::Silent,
        }
    }
}

fn default_backlog() -> u32 {
    1024
}

fn default_drain() -> Rate {
    Rate::per_second_of(200)
}

fn one_second() -> HumanDuration {
    Duration::from_secs(1).into()
}

#[cfg(test)]
pub(super) mod tests;
