//! The thread that polls.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_filter::broker::{Arrival, Begin, Partition, Subscription};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::Offset;

use super::context::{Group, list_of, say};
use super::health::Health;
use super::others::Others;
use super::shared::{Orders, Shared};
use crate::edges::config::KafkaConfig;
use crate::edges::kafka::{client, failure};
use crate::edges::words::Words;

/// How long the thread sleeps at most: librdkafka wants to be polled now and then.
const SLEEP: Duration = Duration::from_millis(200);

/// How long librdkafka may take to go to another offset. It asks nobody for it.
const SEEK_WITHIN: Duration = Duration::from_secs(1);

/// How long brokers may take to say where a log begins.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// The time from one that failed for good to the next.
const START_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Reader {
    config: ClientConfig,
    topics: Vec<String>,
    health: Health,
    begin: Begin,
    shared: Arc<Shared>,
    words: Arc<Words>,
    /// The topic of the last record: there are few, and one text does for all records.
    topic: Arc<str>,
    others: Others,
}

impl Reader {
    pub(super) fn new(
        config: &KafkaConfig,
        subscription: &Subscription,
        (shared, words): (&Arc<Shared>, &Arc<Words>),
    ) -> Self {
        Self {
            config: client::consumer(config, subscription),
            topics: subscription.topics.clone(),
            health: Health::new(&subscription.topics),
            begin: subscription.begin,
            shared: Arc::clone(shared),
            words: Arc::clone(words),
            topic: "".into(),
            others: Others::new(&subscription.topics),
        }
    }

    /// A consumer that joins the group once it is polled.
    pub(super) fn consumer(&self) -> KafkaResult<BaseConsumer<Group>> {
        let group = Group {
            shared: Arc::clone(&self.shared),
            begin: self.begin,
            words: Arc::clone(&self.words),
        };
        let mut consumer: BaseConsumer<Group> = self.config.create_with_context(group)?;
        let shared = Arc::clone(&self.shared);
        consumer.set_nonempty_callback(move || shared.ring());
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(consumer)
    }

    /// Polls until the reader leaves. What fails for good is begun anew.
    pub(super) fn run(mut self, first: BaseConsumer<Group>) {
        let mut consumer = Ok(first);
        loop {
            match &consumer {
                Ok(consumer) => self.poll(consumer),
                Err(error) => self.shared.failed(failure::error(error)),
            }
            // Leaves the group.
            drop(consumer);
            self.shared.lost(self.shared.held());
            if self.shared.is_leaving() {
                return;
            }
            self.shared.wait(START_AGAIN);
            consumer = self.consumer();
        }
    }

    /// Polls until the reader leaves, or librdkafka has failed for good.
    fn poll(&mut self, consumer: &BaseConsumer<Group>) {
        // A poll that comes back with nothing may have met an event, and records behind it.
        let mut idle = false;
        while !self.shared.is_leaving() {
            while self.follow(consumer, &self.shared.orders()) {}
            self.health.look(consumer, &self.shared);
            self.others.count(consumer, &self.shared);
            let polled = consumer.poll(Duration::ZERO);
            if self.shared.take_spoilt() {
                return;
            }
            let was_idle = std::mem::replace(&mut idle, polled.is_none());
            match polled {
                Some(Ok(message)) => {
                    let arrival = self.arrival(&message);
                    self.look_into_gap(consumer, &arrival);
                    self.shared.push(arrival);
                }
                Some(Err(error)) => {
                    self.health.hear(&error, self.shared.words());
                    if is_fatal(&error) {
                        return;
                    }
                }
                None if was_idle => self.shared.wait(SLEEP),
                None => {}
            }
        }
        say(consumer, &self.shared.last_words(), CommitMode::Sync);
    }

    /// Tells the reader of records that the topic kept for less time than it took to read them.
    fn look_into_gap(&self, consumer: &BaseConsumer<Group>, arrival: &Arrival) {
        let Some(expected) = self.shared.gap(arrival) else {
            return;
        };
        let partition = &arrival.partition;
        let ends = consumer.fetch_watermarks(&partition.topic, partition.number, ASK_WITHIN);
        if let Ok((first, _)) = ends
            && first > expected
        {
            let found = first.min(arrival.offset);
            self.shared.lost_records(partition, expected, found);
        }
    }

    /// Whether there may be more to do at once.
    fn follow(&mut self, consumer: &BaseConsumer<Group>, orders: &Orders) -> bool {
        say(consumer, orders, CommitMode::Async);
        let halted = !orders.halt.is_empty() && consumer.pause(&list_of(&orders.halt)).is_ok();
        if halted {
            for partition in &orders.halt {
                self.shared.halted(partition);
            }
        }
        for (partition, target) in &orders.go_on {
            match go_on(consumer, partition, *target) {
                Ok(()) => self.shared.gone_on(partition, *target),
                Err(error) => self.health.hear(&error, None),
            }
        }
        halted
    }

    fn arrival(&mut self, message: &BorrowedMessage<'_>) -> Arrival {
        if *self.topic != *message.topic() {
            self.topic = message.topic().into();
        }
        let bytes = |bytes: Option<&[u8]>| bytes.map_or_else(Bytes::new, Bytes::copy_from_slice);
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let written = message.timestamp().to_millis();
        let since = |millis| Some(Duration::from_millis(u64::try_from(millis).ok()?));
        Arrival {
            partition: Partition {
                topic: Arc::clone(&self.topic),
                number: message.partition(),
            },
            offset: message.offset(),
            written: written
                .and_then(since)
                .map(|since| SystemTime::UNIX_EPOCH + since),
            key: bytes(message.key()),
            payload: bytes(message.payload()),
            headers: headers
                .map(|header| (header.key.to_owned(), bytes(header.value)))
                .collect(),
        }
    }
}

/// Reads a partition on, from `target` if one is given: librdkafka has dropped what it had fetched.
fn go_on(
    consumer: &BaseConsumer<Group>,
    partition: &Partition,
    target: Option<i64>,
) -> KafkaResult<()> {
    consumer.resume(&list_of(std::slice::from_ref(partition)))?;
    target.map_or(Ok(()), |target| {
        let target = Offset::Offset(target);
        consumer.seek(&partition.topic, partition.number, target, SEEK_WITHIN)
    })
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
}
