//! What librdkafka tells a consumer while it is polled: that partitions come and go.

use std::sync::Arc;

use linkgate_filter::broker::Partition;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::shared::Shared;
use crate::edges::kafka::{client, failure};
use crate::edges::words::Words;

pub(super) struct Group {
    pub(super) shared: Arc<Shared>,
    pub(super) words: Arc<Words>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        failure::say(&self.words, &error, reason);
        self.shared.say(reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else {
            return;
        };
        let partitions = partitions(list);
        let halted = self.shared.halted_of(&partitions);
        if consumer.assignment_lost() {
            self.shared.lost(partitions);
        } else if !partitions.is_empty() {
            let done = self.shared.revoke(&partitions);
            // Giving the partitions back, which comes next, writes what is stored.
            store(consumer, &done);
        }
        // librdkafka remembers a pause, and would read nothing when they come back.
        if !halted.is_empty() {
            let _ = consumer.resume(&list_of(&halted));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.shared.assigned(partitions(list));
            self.shared.rebalanced();
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            failure::say(&self.words, &error, &error.to_string());
        }
    }
}

/// Tells librdkafka what is done, for it to write.
pub(super) fn store(consumer: &BaseConsumer<Group>, done: &[(Partition, i64)]) {
    if done.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for (partition, offset) in done {
        let offset = Offset::Offset(*offset);
        let _ = list.add_partition_offset(&partition.topic, partition.number, offset);
    }
    // Fails for partitions that are not held any more, whose offsets are another's to write.
    if let Err(error) = consumer.store_offsets(&list) {
        tracing::debug!("kafka: what is done cannot be stored: {error}");
    }
}

pub(super) fn list_of(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.number);
    }
    list
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let read = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
        topic: element.topic().into(),
        number: element.partition(),
    };
    list.elements().into_iter().map(read).collect()
}
