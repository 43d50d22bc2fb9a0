//! `kafka:` of a broker: how Kafka is reached, and what may be waiting on the way to it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Apache Kafka, or what speaks its protocol. Records are written with `acks=all` by an idempotent producer, so that
/// what is confirmed is with all in-sync replicas, once and in order.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to begin with, as `host:port`, separated by commas. The rest of the cluster is learned from them.
    pub bootstrap: String,
    /// What the gateway calls itself in the brokers' logs and quotas. Default: `linkgate`.
    #[serde(default = "KafkaConfig::client_id")]
    pub client_id: String,
    /// TLS to the brokers, whose names are checked. Default: none.
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// User and password. Default: none. Other ways to log in are given under `properties`.
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// How batches of records are compressed. Default: `none`.
    #[serde(default)]
    pub compression: KafkaCompression,
    /// How long a record waits for others to be sent along with it. Default: 5ms.
    #[serde(default = "KafkaConfig::linger")]
    pub linger: HumanDuration,
    /// How long a record may take until the brokers have confirmed it, all retries included; then it has failed.
    /// Default: 30s.
    #[serde(default = "KafkaConfig::timeout")]
    pub timeout: HumanDuration,
    /// Records on their way to the brokers.
    #[serde(default)]
    pub queue: KafkaQueue,
    /// Any property of librdkafka, for producers and consumers alike, such as `socket.keepalive.enable: true`. Those
    /// that the gateway's promises rest on cannot be changed. Values are not shown anywhere.
    #[serde(default)]
    pub properties: BTreeMap<String, KafkaProperty>,
}

/// TLS and mutual TLS to the brokers. All files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTls {
    /// Certificates to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate, for mutual TLS. Needs `key`.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
    /// What the files held when the configuration was read, as one number: a file that changes is a change.
    #[serde(skip)]
    #[schemars(skip)]
    pub held: u64,
}

/// User and password for the brokers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// How the password is shown to be known. `plain` sends it as it is: have `tls` with it.
    pub mechanism: KafkaMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum KafkaMechanism {
    /// The password itself.
    #[serde(rename = "plain")]
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// How batches of records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Records on their way to the brokers. Once full, no more are taken until half of it is free again.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaQueue {
    /// Records. Default: 100000.
    #[schemars(range(min = 1))]
    pub max_messages: u32,
    /// What they weigh: keys, payloads, headers, and 256 bytes for each. The last one may go over it. Default: 64MiB.
    pub max_bytes: ByteSize,
}

/// The value of a property: a text, a number, or true or false. It may be a secret, so it shows nowhere.
#[derive(Clone, PartialEq)]
pub struct KafkaProperty(Secret);

impl KafkaConfig {
    fn client_id() -> String {
        "linkgate".to_owned()
    }

    fn linger() -> HumanDuration {
        Duration::from_millis(5).into()
    }

    fn timeout() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    /// Kafka at these addresses, and the defaults for all else.
    pub fn at(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            client_id: Self::client_id(),
            tls: None,
            sasl: None,
            compression: KafkaCompression::None,
            linger: Self::linger(),
            timeout: Self::timeout(),
            queue: KafkaQueue::default(),
            properties: BTreeMap::new(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub(super) fn check(&self, problems: &mut Problems) {
        if !self.bootstrap.split(',').all(is_address) {
            problems
                .at("bootstrap", "this is no list of addresses")
                .hint("write `host:port`, or several of them with commas between");
        }
        if self.timeout.is_zero() || *self.linger >= *self.timeout {
            problems
                .at("timeout", "a record would fail before it is sent")
                .hint("write a duration longer than `linger`, such as `30s`");
        } else if *self.timeout > Self::LONGEST {
            problems
                .at("timeout", "this is longer than Kafka clients can wait")
                .hint("write a day or less");
        }
        if self.queue.max_messages == 0 {
            nothing_fits(["queue", "max_messages"], problems);
        }
        if self.queue.max_bytes.bytes() == 0 {
            nothing_fits(["queue", "max_bytes"], problems);
        }
        if let Some(tls) = &self.tls
            && tls.cert.is_some() != tls.key.is_some()
        {
            problems
                .at("tls", "`cert` and `key` go together")
                .hint("give both, or neither");
        }
        self.check_properties(problems);
    }

    const LONGEST: Duration = Duration::from_secs(24 * 3600);

    fn check_properties(&self, problems: &mut Problems) {
        for (name, value) in &self.properties {
            if name == "partitioner" && value.0.expose() == "random" {
                let path = Path::from("properties").then("partitioner");
                problems
                    .at(path, "records of one user would be in several partitions")
                    .hint("their order rests on one; write `murmur2_random`, which is the default");
            }
            if let Some((_, why)) = reserved(name) {
                let path = Path::from("properties").then(name.as_str());
                problems
                    .at(path, format!("`{name}` cannot be changed here"))
                    .hint(*why);
            }
        }
    }
}

/// Whether a property cannot be given, and what to do.
fn reserved(name: &str) -> Option<&(&str, &str)> {
    RESERVED.iter().find(|(reserved, _)| *reserved == name)
}

impl KafkaConfig {
    /// The properties that can be given.
    #[cfg(feature = "kafka")]
    pub(in crate::edges) fn given(&self) -> impl Iterator<Item = (&String, &KafkaProperty)> {
        let properties = self.properties.iter();
        properties.filter(|(name, _)| reserved(name).is_none())
    }

    /// The properties that may name files, commands or services of the node.
    pub(crate) fn of_the_node(&self) -> impl Iterator<Item = &str> {
        let names = self.properties.keys().map(String::as_str);
        names.filter(|name| !is_harmless(name))
    }
}

/// Whether a property is known to say nothing of the node that runs it.
fn is_harmless(name: &str) -> bool {
    const KINDS: [&str; 22] = [
        "api.",
        "batch.",
        "broker.",
        "check.",
        "client.",
        "compression.",
        "connections.",
        "fetch.",
        "group.",
        "heartbeat.",
        "isolation.",
        "max.",
        "message.",
        "metadata.",
        "partition",
        "queue",
        "receive.",
        "reconnect.",
        "retry.",
        "session.",
        "socket.",
        "topic.",
    ];
    const OTHERS: [&str; 20] = [
        "enable.sparse.connections",
        "enable.ssl.certificate.verification",
        "request.timeout.ms",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.scope",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.pem",
        "ssl.certificate.pem",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.password",
        "ssl.key.pem",
        "sticky.partitioning.linger.ms",
    ];
    OTHERS.contains(&name) || KINDS.iter().any(|kind| name.starts_with(kind))
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.trim().rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn nothing_fits(path: [&'static str; 2], problems: &mut Problems) {
    problems
        .at(path, "0 would let nothing in")
        .hint("write 1 or more, or leave it out");
}

const PROMISE: &str =
    "what an acknowledgement means rests on it, and the order of a user's messages; remove it";
const OWN: &str = "the gateway needs it as it is; remove it";
const BY_SOURCE: &str = "it belongs to whoever reads a topic; remove it";
const QUEUE: &str = "use `queue` of this broker";
const CODE: &str = "it would run foreign code in the gateway; remove it";
const LINGER: &str = "use `linger` of this broker";

/// Properties that cannot be passed through, and what to do.
const RESERVED: &[(&str, &str)] = &[
    ("plugin.library.paths", CODE),
    ("offset.store.method", PROMISE),
    ("offset.store.path", PROMISE),
    ("enable.idempotence", PROMISE),
    ("acks", PROMISE),
    ("request.required.acks", PROMISE),
    ("max.in.flight", PROMISE),
    ("max.in.flight.requests.per.connection", PROMISE),
    ("retries", PROMISE),
    ("message.send.max.retries", PROMISE),
    ("queuing.strategy", PROMISE),
    ("transactional.id", PROMISE),
    ("delivery.report.only.error", OWN),
    ("enable.partition.eof", OWN),
    ("enable.auto.commit", OWN),
    ("auto.commit.enable", OWN),
    ("enable.auto.offset.store", OWN),
    ("log.queue", OWN),
    ("opaque", OWN),
    ("group.id", BY_SOURCE),
    ("auto.offset.reset", BY_SOURCE),
    ("queued.max.messages.kbytes", BY_SOURCE),
    ("bootstrap.servers", "use `bootstrap` of this broker"),
    ("metadata.broker.list", "use `bootstrap` of this broker"),
    ("client.id", "use `client_id` of this broker"),
    ("compression.codec", "use `compression` of this broker"),
    ("compression.type", "use `compression` of this broker"),
    ("linger.ms", LINGER),
    ("queue.buffering.max.ms", LINGER),
    ("message.timeout.ms", "use `timeout` of this broker"),
    ("delivery.timeout.ms", "use `timeout` of this broker"),
    ("queue.buffering.max.messages", QUEUE),
    ("queue.buffering.max.kbytes", QUEUE),
];

impl Default for KafkaQueue {
    fn default() -> Self {
        Self {
            max_messages: 100_000,
            max_bytes: ByteSize::mib(64),
        }
    }
}

impl KafkaProperty {
    /// The value, for librdkafka alone.
    #[cfg(feature = "kafka")]
    pub(in crate::edges) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for KafkaProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for KafkaProperty {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = KafkaProperty;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, or true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<KafkaProperty, E> {
                Ok(KafkaProperty(Secret::new(text)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<KafkaProperty, E> {
                Ok(KafkaProperty(Secret::new(number.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<KafkaProperty, E> {
                Ok(KafkaProperty(Secret::new(number.to_string())))
            }

            fn visit_f64<E>(self, number: f64) -> Result<KafkaProperty, E> {
                Ok(KafkaProperty(Secret::new(number.to_string())))
            }

            fn visit_bool<E>(self, yes: bool) -> Result<KafkaProperty, E> {
                Ok(KafkaProperty(Secret::new(yes.to_string())))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for KafkaProperty {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KafkaProperty".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number", "boolean"],
            "description": "The value of a property of librdkafka. It may be a secret, so it shows nowhere."
        })
    }
}
