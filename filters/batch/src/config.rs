//! `config:` of a `batch` entry, and what of it makes sense.

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::units::{ByteSize, HumanDuration};
use linkgate_filter::{Deserialize, JsonSchema};

/// Joins messages of many links, so that the backend gets them together. From here on the pipeline is shared: each of its
/// shards (`limits.trunk`) gathers for itself, and filters that need one link stand before this one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Messages of a batch at the most: then it goes at once. A message that nothing joins is a batch of one. From 1 to
    /// 10000. Default: 64.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_messages: usize,
    /// What the messages of a batch may weigh together, by body, key and 128 bytes each; a message that weighs more goes
    /// alone. Keep it below what the backend reads in one call. At most 64MiB. Default: 1MiB.
    pub max_bytes: ByteSize,
    /// How long the first message of a batch waits for others, from when it may go. With 0s messages are gathered only while
    /// `max_in_flight` batches are in flight. At most 1m. Default: 5ms.
    pub max_wait: HumanDuration,
    /// Send at once while no batch of the shard is in flight, and gather only while one is: a quiet gateway adds no delay,
    /// a busy one fills its batches by itself. Without it every batch waits until it is full or `max_wait` has passed,
    /// which costs that time, and spares a backend that pays for each call. Default: true.
    pub adaptive: bool,
    /// Whether the order of a link's messages is kept. Default: link.
    pub ordering: Ordering,
    /// Batches of one shard in flight at the most; further messages are gathered meanwhile. From 1 to 1000. Default: 4.
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_messages: 64,
            max_bytes: ByteSize::mib(1),
            max_wait: Duration::from_millis(5).into(),
            adaptive: true,
            ordering: Ordering::Link,
            max_in_flight: 4,
        }
    }
}

/// Whether the order of a link's messages is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Within a batch they stand in the order sent, and while one of them is in flight the link's next ones wait; those of
    /// other links go.
    #[default]
    Link,
    /// They go in as many batches as there are places, and may overtake each other.
    None,
}

impl Config {
    const MOST_MESSAGES: usize = 10_000;
    const MOST_BYTES: ByteSize = ByteSize::mib(64);
    const LONGEST_WAIT: Duration = Duration::from_secs(60);
    const MOST_IN_FLIGHT: usize = 1000;

    /// The config itself, if it makes sense.
    pub(crate) fn check(self) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        for (key, value, most) in [
            ("max_messages", self.max_messages, Self::MOST_MESSAGES),
            ("max_in_flight", self.max_in_flight, Self::MOST_IN_FLIGHT),
        ] {
            if !(1..=most).contains(&value) {
                problems.at(key, format!("{value} is not between 1 and {most}"));
            }
        }
        if self.max_bytes.bytes() == 0 || self.max_bytes > Self::MOST_BYTES {
            let message = format!(
                "{} is not between 1B and {}",
                self.max_bytes,
                Self::MOST_BYTES
            );
            problems.at("max_bytes", message);
        }
        if *self.max_wait > Self::LONGEST_WAIT {
            problems
                .at("max_wait", format!("{} is longer than 1m", self.max_wait))
                .hint("clients wait for their answers meanwhile: some milliseconds are usual");
        }
        problems.into_result(self)
    }
}
