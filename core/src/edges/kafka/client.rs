//! From the configuration to librdkafka's properties, and its log to ours.

use std::time::Duration;

use linkgate_filter::broker::Subscription;
use linkgate_filter::problem::{Path, Problems};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::edges::config::{KafkaCompression, KafkaConfig, KafkaMechanism};
use crate::telemetry::limit::Every;

/// How often what is done is written to the brokers.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How long brokers keep a request for records that are not there yet. A partition that is resumed waits for its end.
const RESUME_WITHIN: Duration = Duration::from_millis(100);

/// How soon a topic that was missing is found.
const LOOK_FOR_TOPICS: Duration = Duration::from_secs(10);

/// Notes properties that librdkafka does not know, or whose values it does not take. Connects nothing.
pub(in crate::edges) fn check(config: &KafkaConfig, problems: &mut Problems) {
    // What cannot be given is not even tried: to set a plugin loads it.
    for (name, value) in config.given() {
        let mut alone = ClientConfig::new();
        alone.set(name, value.expose());
        let Err(KafkaError::ClientConfig(_, said, ..)) = alone.create_native_config() else {
            continue;
        };
        let path = Path::from("properties").then(name.as_str());
        problems
            .at(path, format!("librdkafka refuses `{name}`"))
            .hint(said.replace(value.expose(), "…"));
    }
}

/// What producers and consumers have in common.
fn common(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.bootstrap)
        .set("client.id", &config.client_id)
        .set("security.protocol", protocol(config))
        .set(
            "topic.metadata.refresh.interval.ms",
            millis(LOOK_FOR_TOPICS),
        );
    if let Some(tls) = &config.tls {
        for (property, path) in [
            ("ssl.ca.location", &tls.ca),
            ("ssl.certificate.location", &tls.cert),
            ("ssl.key.location", &tls.key),
        ] {
            if let Some(path) = path {
                client.set(property, path.to_string_lossy());
            }
        }
    }
    if let Some(sasl) = &config.sasl {
        let mechanism = match sasl.mechanism {
            KafkaMechanism::Plain => "PLAIN",
            KafkaMechanism::ScramSha256 => "SCRAM-SHA-256",
            KafkaMechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        client
            .set("sasl.mechanism", mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose());
    }
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn protocol(config: &KafkaConfig) -> &'static str {
    match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

fn millis(span: Duration) -> String {
    span.as_millis().to_string()
}

fn pass_through(config: &KafkaConfig, client: &mut ClientConfig) {
    for (name, value) in config.given() {
        client.set(name, value.expose());
    }
}

/// A producer's properties. Its queue is bounded before it: see `queue`.
pub(super) fn producer(config: &KafkaConfig) -> ClientConfig {
    let compression = match config.compression {
        KafkaCompression::None => "none",
        KafkaCompression::Gzip => "gzip",
        KafkaCompression::Snappy => "snappy",
        KafkaCompression::Lz4 => "lz4",
        KafkaCompression::Zstd => "zstd",
    };
    let mut client = common(config);
    // A topic that is not there is told as such, not as a record whose time is over.
    let unknown_after = (*config.timeout / 2).min(LOOK_FOR_TOPICS);
    client
        .set("partitioner", "murmur2_random")
        .set("topic.metadata.propagation.max.ms", millis(unknown_after));
    pass_through(config, &mut client);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", compression)
        .set("linger.ms", (config.linger.as_secs_f64() * 1e3).to_string())
        .set("message.timeout.ms", millis(*config.timeout))
        .set("queue.buffering.max.messages", "0")
        .set("queue.buffering.max.kbytes", i32::MAX.to_string());
    client
}

/// A consumer's properties. It keeps half of `read_ahead` itself; the other half is for what has been handed over.
pub(super) fn consumer(config: &KafkaConfig, subscription: &Subscription) -> ClientConfig {
    // A revoked partition is held on the polling thread, which has to poll again within this interval.
    let poll_within = Duration::from_secs(300).max(subscription.release_within * 2);
    let mut client = common(config);
    client
        .set("partition.assignment.strategy", "cooperative-sticky")
        // A topic of the subscription that is not there yet, such as one for parked pushes, is made where the brokers
        // allow it; one that somebody makes later is noticed soon.
        .set("allow.auto.create.topics", "true")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("max.poll.interval.ms", millis(poll_within))
        .set("auto.commit.interval.ms", millis(COMMIT_EVERY))
        .set("fetch.wait.max.ms", millis(RESUME_WITHIN));
    pass_through(config, &mut client);
    let kibibytes = (subscription.read_ahead / 2048).clamp(1, 2_097_151);
    client
        .set("group.id", &subscription.group)
        // For what is not in the log, as one that began anew: where a group begins that says nothing is asked before.
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        .set("queued.max.messages.kbytes", kibibytes.to_string());
    client
}

static LINES: Every = Every::new(Duration::from_secs(1));

/// A line of librdkafka's log. While brokers are away it writes many, so one a second is passed on.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    if matches!(level, RDKafkaLogLevel::Debug) {
        tracing::debug!(facility, "kafka: {line}");
    } else if let Some(held_back) = LINES.pass() {
        tracing::warn!(facility, held_back, "kafka: {line}");
    }
}
