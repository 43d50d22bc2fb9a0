//! A broker in this process: for trying things out without Kafka, and its twin in tests.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::{
    Arrival, Begin, Broker, Consumer, Delivery, Event, Full, Partition, Record, Subscription,
};
use crate::clock::Clock;
use crate::edges::EdgeError;

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
}

impl Inner {
    fn topic(&mut self, name: &str, limits: &MemoryBrokerLimits) -> &mut Vec<Log> {
        let logs = self.topics.entry(name.into()).or_default();
        logs.resize_with(limits.partitions.max(1).max(logs.len()), Log::default);
        logs
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
        inner.members += 1;
        let mut partitions = Vec::new();
        for topic in &subscription.topics {
            let count = inner.topic(topic, &self.limits).len();
            let topic: Arc<str> = topic.as_str().into();
            partitions.extend((0..count).map(|number| Partition {
                topic: Arc::clone(&topic),
                number: number as i32,
            }));
        }
        Ok(Box::new(Member {
            number: inner.members,
            group: subscription.group.clone(),
            begin: subscription.begin,
            partitions,
            elsewhere: 0,
            next: HashMap::new(),
            paused: HashSet::new(),
            inner: Arc::clone(&self.inner),
        }))
    }
}

struct Member {
    number: u64,
    group: String,
    begin: Begin,
    partitions: Vec<Partition>,
    /// How many of them others have, as it was told last.
    elsewhere: usize,
    /// The offset to read next, of each partition that it has.
    next: HashMap<Partition, i64>,
    paused: HashSet<Partition>,
    inner: Arc<Mutex<Inner>>,
}

impl Member {
    fn poll(&mut self, waker: &Waker) -> Poll<Event> {
        let inner = Arc::clone(&self.inner);
        let inner = &mut *inner.lock();
        let group = inner.groups.entry(self.group.clone()).or_default();
        let is_free = |partition: &&Partition| !group.owners.contains_key(*partition);
        let free: Vec<_> = self.partitions.iter().filter(is_free).cloned().collect();
        if !free.is_empty() {
            let own = free
                .iter()
                .map(|partition| (partition.clone(), self.number));
            group.owners.extend(own);
            let topics = &inner.topics;
            for partition in &free {
                let end = || {
                    let number = usize::try_from(partition.number).ok();
                    let logs = topics.get(&partition.topic);
                    let log = number.and_then(|number| logs?.get(number));
                    log.map_or(0, |log| log.first + log.records.len() as i64)
                };
                let next = match (group.done.get(partition), self.begin) {
                    (Some(done), _) => *done,
                    (None, Begin::Oldest) => 0,
                    (None, Begin::Newest) => {
                        *group.done.entry(partition.clone()).or_insert_with(end)
                    }
                };
                self.next.insert(partition.clone(), next);
            }
            return Poll::Ready(Event::Assigned(free));
        }
        let is_elsewhere = |partition: &&Partition| {
            let owner = group.owners.get(*partition);
            owner.is_some_and(|owner| *owner != self.number)
        };
        let elsewhere = self.partitions.iter().filter(is_elsewhere).count();
        if std::mem::replace(&mut self.elsewhere, elsewhere) != elsewhere {
            return Poll::Ready(Event::Elsewhere(elsewhere));
        }
        let next = self.read(inner);
        if next.is_none() && !inner.waiting.iter().any(|known| known.will_wake(waker)) {
            inner.waiting.push(waker.clone());
        }
        next.map_or(Poll::Pending, |arrival| Poll::Ready(Event::Record(arrival)))
    }

    fn read(&mut self, inner: &Inner) -> Option<Arrival> {
        let open = |partition: &&Partition| !self.paused.contains(*partition);
        for partition in self.partitions.iter().filter(open) {
            let Some(next) = self.next.get_mut(partition) else {
                continue;
            };
            let Some(log) = (inner.topics.get(&partition.topic))
                .and_then(|logs| logs.get(usize::try_from(partition.number).ok()?))
            else {
                continue;
            };
            let offset = (*next).max(log.first);
            let Some((written, record)) = log.records.get((offset - log.first) as usize) else {
                continue;
            };
            *next = offset + 1;
            let Record {
                key,
                payload,
                headers,
                ..
            } = record.clone();
            return Some(Arrival {
                partition: partition.clone(),
                offset,
                written: Some(*written),
                key,
                payload,
                headers,
            });
        }
        None
    }
}

impl Consumer for Member {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(poll_fn(|cx| self.poll(cx.waker())))
    }

    fn done(&mut self, partition: &Partition, offset: i64) {
        let mut inner = self.inner.lock();
        if let Some(group) = inner.groups.get_mut(&self.group)
            && group.owners.get(partition) == Some(&self.number)
        {
            group.done.insert(partition.clone(), offset);
        }
    }

    fn pause(&mut self, partition: &Partition) {
        self.paused.insert(partition.clone());
    }

    fn resume(&mut self, partition: &Partition) {
        self.paused.remove(partition);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Leaving is what dropping does.
        Box::pin(ready(()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inner = self.inner.lock();
        if let Some(group) = inner.groups.get_mut(&self.group) {
            group.owners.retain(|_, owner| *owner != self.number);
        }
        inner.wake_all();
    }
}

#[cfg(test)]
mod tests;
