//! `stores:` and `brokers:` of the configuration, and what of them makes sense.

mod kafka;
mod redis;

use linkgate_filter::broker::MemoryBrokerLimits;
use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::store::MemoryStoreLimits;
use linkgate_filter::units::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::kafka::{
    KafkaCompression, KafkaConfig, KafkaMechanism, KafkaProperty, KafkaQueue, KafkaSasl, KafkaTls,
};
pub use self::redis::{RedisConfig, RedisSentinel};

/// A key-value store that filters share, such as `dedup` for what it remembers. One of its keys says of which kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct StoreConfig {
    /// In this process: for one node, and gone when it stops.
    pub memory: Option<MemoryStoreConfig>,
    /// Redis, shared by all nodes.
    pub redis: Option<RedisConfig>,
}

/// The kind of a store.
pub enum StoreKind<'a> {
    /// In this process.
    Memory(&'a MemoryStoreConfig),
    /// Redis.
    Redis(&'a RedisConfig),
}

/// A store in this process.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryStoreConfig {
    /// Keys it holds; further ones are refused until others have ended. So that there is room for all, a business may hold
    /// twice as many as are free, and a user as many as its business may still take: alone, a business holds two thirds of
    /// the store and a user half of it; the more there are, the less each. Default: 1000000.
    #[schemars(range(min = 1))]
    pub max_keys: u32,
    /// What keys and values may weigh, with 128 bytes for each key; bounded and shared likewise. Default: 256MiB.
    pub max_bytes: ByteSize,
}

/// A message broker that filters and push sources share. One of its keys says of which kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct BrokerConfig {
    /// In this process: for trying things out. Nothing outlives the process, and nobody else can read or write it.
    pub memory: Option<MemoryBrokerConfig>,
    /// Apache Kafka, or what speaks its protocol.
    pub kafka: Option<KafkaConfig>,
}

/// The kind of a broker.
pub enum BrokerKind<'a> {
    /// In this process.
    Memory(&'a MemoryBrokerConfig),
    /// Apache Kafka.
    Kafka(&'a KafkaConfig),
}

/// A broker in this process.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryBrokerConfig {
    /// Partitions of each topic. Default: 4, at most 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub partitions: u32,
    /// Records that each partition keeps; beyond it the oldest go, read or not. Default: 10000.
    #[schemars(range(min = 1))]
    pub max_records: u32,
}

impl Default for MemoryStoreConfig {
    fn default() -> Self {
        Self {
            max_keys: 1_000_000,
            max_bytes: ByteSize::mib(256),
        }
    }
}

impl Default for MemoryBrokerConfig {
    fn default() -> Self {
        Self {
            partitions: 4,
            max_records: 10_000,
        }
    }
}

impl From<&MemoryStoreConfig> for MemoryStoreLimits {
    fn from(config: &MemoryStoreConfig) -> Self {
        Self {
            entries: config.max_keys as usize,
            bytes: config.max_bytes.as_usize(),
        }
    }
}

impl From<&MemoryBrokerConfig> for MemoryBrokerLimits {
    fn from(config: &MemoryBrokerConfig) -> Self {
        Self {
            partitions: config.partitions as usize,
            records: config.max_records as usize,
        }
    }
}

impl StoreConfig {
    const KINDS: &'static str = "write `memory: {}` or `redis: { url: ... }`";

    /// The one kind it names.
    pub(super) fn kind(&self) -> Result<StoreKind<'_>, String> {
        only_one([
            self.memory.as_ref().map(StoreKind::Memory),
            self.redis.as_ref().map(StoreKind::Redis),
        ])
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        match self.kind() {
            Err(problem) => {
                problems.at(Path::root(), problem).hint(Self::KINDS);
            }
            Ok(StoreKind::Memory(memory)) => {
                at_least_one(["memory", "max_keys"], memory.max_keys.into(), problems);
                at_least_one(["memory", "max_bytes"], memory.max_bytes.bytes(), problems);
            }
            Ok(StoreKind::Redis(redis)) => {
                let mut part = Problems::new();
                redis.check(&mut part);
                if cfg!(not(feature = "redis")) {
                    part.at(Path::root(), "this program was built without Redis")
                        .hint("build it with the cargo feature `redis`");
                }
                problems.extend_under(&Path::from("redis"), part);
            }
        }
    }
}

impl BrokerConfig {
    const KINDS: &'static str = "write `memory: {}`, or `kafka: { bootstrap: \"127.0.0.1:9092\" }`";

    /// The one kind it names.
    pub(super) fn kind(&self) -> Result<BrokerKind<'_>, String> {
        only_one([
            self.memory.as_ref().map(BrokerKind::Memory),
            self.kafka.as_ref().map(BrokerKind::Kafka),
        ])
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        match self.kind() {
            Err(problem) => {
                problems.at(Path::root(), problem).hint(Self::KINDS);
            }
            Ok(BrokerKind::Memory(memory)) => {
                at_least_one(
                    ["memory", "max_records"],
                    memory.max_records.into(),
                    problems,
                );
                if !(1..=1024).contains(&memory.partitions) {
                    let what = format!("{} is not between 1 and 1024", memory.partitions);
                    problems.at(["memory", "partitions"], what);
                }
            }
            Ok(BrokerKind::Kafka(kafka)) => {
                let mut own = Problems::new();
                kafka.check(&mut own);
                super::check_kafka(kafka, &mut own);
                problems.extend_under(&Path::from("kafka"), own);
            }
        }
    }
}

fn only_one<T, const N: usize>(kinds: [Option<T>; N]) -> Result<T, String> {
    let mut named = kinds.into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(kind), None) => Ok(kind),
        (None, _) => Err("this names no kind".to_owned()),
        _ => Err("this names two kinds".to_owned()),
    }
}

fn at_least_one(path: [&'static str; 2], number: u64, problems: &mut Problems) {
    if number == 0 {
        problems
            .at(path, "0 would let nothing in")
            .hint("write 1 or more, or leave it out");
    }
}
