//! A broker in this process: for trying things out without Kafka, and its twin in tests.

mod member;

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use self::member::{Member, Taken};
use super::{Broker, Consumer, Delivery, Full, Partition, Record, Subscription};
use crate::clock::Clock;
use crate::failure::EdgeError;

/// How much a [`MemoryBroker`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBrokerLimits {
    /// Partitions of each topic.
    pub partitions: usize,
    /// Records of each partition; beyond it the oldest go, read or not, as a topic's retention has it.
    pub records: usize,
}

impl Default for MemoryBrokerLimits {
    fn default() -> Self {
        Self {
            partitions: 4,
            records: 10_000,
        }
    }
}

/// A bounded broker in this process. A topic is there as soon as it is named. Of a group's members the first that wants a
/// partition has it until it leaves.
pub struct MemoryBroker {
    clock: Arc<dyn Clock>,
    limits: MemoryBrokerLimits,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    topics: HashMap<Arc<str>, Vec<Log>>,
    groups: HashMap<String, Group>,
    members: u64,
    /// Members that wait for something to happen.
    waiting: Vec<Waker>,
    /// Spreads records without a key.
    turn: usize,
}

/// The records of a partition that are still there.
#[derive(Default)]
struct Log {
    records: VecDeque<(SystemTime, Record)>,
    first: i64,
}

#[derive(Default)]
struct Group {
    /// The members that have partitions.
    owners: HashMap<Partition, u64>,
    done: HashMap<Partition, i64>,
    /// How often partitions were taken away from all members, and how the last time.
    taken: (u64, Taken),
}

impl Log {
    fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }
}

impl MemoryBroker {
    /// A broker without records.
    pub fn new(clock: Arc<dyn Clock>, limits: MemoryBrokerLimits) -> Self {
        let inner = Arc::default();
        Self {
            clock,
            limits,
            inner,
        }
    }

    /// The records of a topic that are still there, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let inner = self.inner.lock();
        let logs = inner.topics.get(topic).into_iter().flatten();
        logs.flat_map(|log| log.records.iter().map(|(_, record)| record.clone()))
            .collect()
    }

    /// Up to where a group has done with each partition of a topic; partitions without a word on it are left out.
    pub fn progress(&self, group: &str, topic: &str) -> HashMap<i32, i64> {
        let inner = self.inner.lock();
        let done = inner.groups.get(group).map(|group| &group.done);
        done.into_iter()
            .flatten()
            .filter(|(partition, _)| &*partition.topic == topic)
            .map(|(partition, offset)| (partition.number, *offset))
            .collect()
    }

    /// Makes a topic anew, without records. What groups have said of the old one stays, as with Kafka it may.
    pub fn make_anew(&self, topic: &str) {
        let mut inner = self.inner.lock();
        if let Some(logs) = inner.topics.get_mut(topic) {
            logs.iter_mut().for_each(|log| *log = Log::default());
        }
        inner.wake_all();
    }

    /// Gives a topic more partitions.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let mut inner = self.inner.lock();
        let logs = inner.topic(topic, &self.limits);
        logs.resize_with(partitions.max(logs.len()), Log::default);
        inner.wake_all();
    }

    /// Sets from outside up to where a group has done with a partition.
    pub fn set_progress(&self, group: &str, partition: Partition, offset: i64) {
        let mut inner = self.inner.lock();
        let group = inner.groups.entry(group.to_owned()).or_default();
        group.done.insert(partition, offset);
    }

    /// Takes the members of a group for dead: they lose all partitions, and get them again where the group has done.
    pub fn lose(&self, group: &str) {
        self.take_away(group, Taken::Lost);
    }

    /// Has the members of a group give all partitions back, which they then get again.
    pub fn rebalance(&self, group: &str) {
        self.take_away(group, Taken::Revoked);
    }

    fn take_away(&self, group: &str, taken: Taken) {
        let mut inner = self.inner.lock();
        if let Some(group) = inner.groups.get_mut(group) {
            group.taken = (group.taken.0 + 1, taken);
        }
        inner.wake_all();
    }
}

impl Inner {
    fn topic(&mut self, name: &str, limits: &MemoryBrokerLimits) -> &mut Vec<Log> {
        let logs = self.topics.entry(name.into()).or_default();
        logs.resize_with(limits.partitions.max(1).max(logs.len()), Log::default);
        logs
    }

    fn log(&self, partition: &Partition) -> Option<&Log> {
        let number = usize::try_from(partition.number).ok()?;
        self.topics.get(&partition.topic)?.get(number)
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Broker for MemoryBroker {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        let mut inner = self.inner.lock();
        inner.turn += 1;
        let place = if record.key.is_empty() {
            inner.turn
        } else {
            let mut hasher = DefaultHasher::new();
            hasher.write(&record.key);
            hasher.finish() as usize
        };
        let logs = inner.topic(&record.topic, &self.limits);
        let count = logs.len();
        let log = &mut logs[place % count];
        log.records.push_back((self.clock.wall(), record));
        if log.records.len() > self.limits.records.max(1) {
            log.records.pop_front();
            log.first += 1;
        }
        inner.wake_all();
        Ok(Box::pin(ready(Ok(()))))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }

    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        let mut inner = self.inner.lock();
        for topic in &subscription.topics {
            inner.topic(topic, &self.limits);
        }
        inner.members += 1;
        let group = inner.groups.entry(subscription.group.clone()).or_default();
        let taken = group.taken.0;
        let member = Member::new(subscription, inner.members, taken, Arc::clone(&self.inner));
        Ok(Box::new(member))
    }
}

#[cfg(test)]
mod tests;
