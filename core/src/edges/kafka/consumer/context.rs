//! What librdkafka tells a consumer while it is polled: that partitions come and go.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::broker::{Begin, Partition};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::shared::{Orders, Shared, Start};
use crate::edges::kafka::{client, failure};
use crate::edges::words::Words;

/// How long brokers have to say where a partition is to be begun.
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// How often they are asked.
const ASK_TIMES: usize = 5;

pub(super) struct Group {
    pub(super) shared: Arc<Shared>,
    pub(super) begin: Begin,
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
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let is_cooperative = matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        );
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let none = TopicPartitionList::new();
                let (list, starts) = match self.starts(consumer, list) {
                    Ok(starts) => (&*list, starts),
                    // Not to begin at all is better than to begin at a wrong place. But an answer is waited for.
                    Err(error) => {
                        self.shared.spoil(failure::error(&error));
                        (&none, Vec::new())
                    }
                };
                let done = match is_cooperative {
                    true => consumer.incremental_assign(list),
                    false => consumer.assign(list),
                };
                self.shared.assigned(starts);
                self.shared.rebalanced();
                done
            }
            _ => {
                self.revoke(consumer, list);
                match is_cooperative {
                    true => consumer.incremental_unassign(list),
                    false => consumer.unassign(),
                }
            }
        };
        if let Err(error) = done {
            self.shared.failed(failure::error(&error));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        if let Err(error) = result {
            return failure::say(&self.words, &error, &error.to_string());
        }
        for element in list.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let partition = Partition {
                    topic: element.topic().into(),
                    number: element.partition(),
                };
                self.shared.noted(&partition, offset);
            }
        }
    }
}

impl Group {
    /// Where to begin each partition, and notes it in the list: where the group has got to. Else at the oldest record; or, if
    /// that is what was asked for and the group knows nothing of the topic yet, at the end.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &mut TopicPartitionList,
    ) -> KafkaResult<Vec<Start>> {
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let committed = self.ask(|| consumer.committed_offsets(list.clone(), ASK_WITHIN))?;
        let committed = committed.elements();
        let mut starts = Vec::new();
        for element in &committed {
            element.error()?;
            let topic = element.topic();
            let is_known = || {
                let mut of_topic = committed.iter().filter(|other| other.topic() == topic);
                self.shared.has_of(topic)
                    || of_topic.any(|other| matches!(other.offset(), Offset::Offset(_)))
            };
            let (offset, say) = match element.offset() {
                Offset::Offset(offset) => (Some(offset), false),
                _ if self.begin == Begin::Newest && !is_known() => {
                    let number = element.partition();
                    let (_, end) =
                        self.ask(|| consumer.fetch_watermarks(topic, number, ASK_WITHIN))?;
                    (Some(end), true)
                }
                _ => (None, false),
            };
            let at = offset.map_or(Offset::Beginning, Offset::Offset);
            list.set_partition_offset(topic, element.partition(), at)?;
            starts.push(Start {
                partition: Partition {
                    topic: topic.into(),
                    number: element.partition(),
                },
                offset,
                say,
            });
        }
        Ok(starts)
    }

    /// Asks again if there is no answer, as from brokers that have just come back.
    fn ask<T>(&self, ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
        let mut answer = ask();
        for _ in 1..ASK_TIMES {
            if answer.is_ok() || self.shared.is_leaving() {
                break;
            }
            answer = ask();
        }
        answer
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions(list);
        let halted = self.shared.halted_of(&partitions);
        if consumer.assignment_lost() {
            self.shared.lost(partitions);
        } else if !partitions.is_empty() {
            // Giving the partitions back, which comes next, writes what is stored.
            let orders = self.shared.revoke(&partitions);
            say(consumer, &orders, CommitMode::Async);
        }
        // librdkafka remembers a pause, and would read nothing when they come back.
        if !halted.is_empty() {
            let _ = consumer.resume(&list_of(&halted));
        }
    }
}

/// Tells librdkafka what is done, for it to write; and has it set back what it would not by itself, as it lies behind what
/// it has written.
pub(super) fn say(consumer: &BaseConsumer<Group>, orders: &Orders, mode: CommitMode) {
    store(consumer, &orders.done);
    if orders.lower.is_empty() {
        return;
    }
    if let Err(error) = consumer.commit(&offsets(&orders.lower), mode) {
        tracing::debug!("kafka: what is done cannot be set back: {error}");
    }
}

fn offsets(done: &[(Partition, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in done {
        let offset = Offset::Offset(*offset);
        let _ = list.add_partition_offset(&partition.topic, partition.number, offset);
    }
    list
}

fn store(consumer: &BaseConsumer<Group>, done: &[(Partition, i64)]) {
    if done.is_empty() {
        return;
    }
    // Fails for partitions that are not held any more, whose offsets are another's to write.
    if let Err(error) = consumer.store_offsets(&offsets(done)) {
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
