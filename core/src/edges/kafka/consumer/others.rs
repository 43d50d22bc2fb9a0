//! How many partitions other members of the group have: counted after the group has shared them out.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use tokio::time::Instant;

use super::context::Group;
use super::shared::Shared;

/// How long the brokers may take to say how many partitions a topic has. Nothing is polled meanwhile.
const COUNT_WITHIN: Duration = Duration::from_secs(1);

/// They are asked again after so long.
const COUNT_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Others {
    topics: Vec<String>,
    /// Nothing is counted before.
    count_at: Option<Instant>,
}

impl Others {
    pub(super) fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.to_vec(),
            count_at: None,
        }
    }

    /// Counts, if there is anything to count anew, and tells the reader.
    pub(super) fn count(&mut self, consumer: &BaseConsumer<Group>, shared: &Shared) {
        let now = Instant::now();
        if self.count_at.is_some_and(|at| now < at) {
            return;
        }
        let Some(held) = shared.take_uncounted() else {
            return;
        };
        let partitions = |topic: &String| {
            let metadata = consumer.fetch_metadata(Some(topic), COUNT_WITHIN)?;
            let topics = metadata.topics().iter();
            KafkaResult::Ok(topics.map(|topic| topic.partitions().len()).sum::<usize>())
        };
        let all: KafkaResult<usize> = self.topics.iter().map(partitions).sum();
        self.count_at = match all {
            Ok(all) => {
                shared.elsewhere(all.saturating_sub(held));
                None
            }
            Err(error) => {
                tracing::debug!("kafka: partitions cannot be counted: {error}");
                shared.rebalanced();
                Some(now + COUNT_AGAIN)
            }
        };
    }
}
