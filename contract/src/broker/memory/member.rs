//! A member of a group that reads from memory.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::Inner;
use crate::broker::{
    Arrival, Begin, Consumer, Event, Partition, Record, Release, Reset, Subscription,
};

/// How partitions go.
#[derive(Clone, Copy, Default)]
pub(super) enum Taken {
    #[default]
    Lost,
    Revoked,
}

pub(super) struct Member {
    number: u64,
    group: String,
    begin: Begin,
    topics: Vec<Arc<str>>,
    /// The partitions that it has, and the offset to read next of each.
    next: Vec<(Partition, i64)>,
    paused: HashSet<Partition>,
    /// How many partitions others have, as it was told last.
    elsewhere: usize,
    /// How often it has given its partitions away.
    taken: u64,
    /// Ends when it has settled what it has of the partitions that it gives back.
    releasing: Option<oneshot::Receiver<()>>,
    inner: Arc<Mutex<Inner>>,
}

impl Member {
    pub(super) fn new(
        subscription: &Subscription,
        number: u64,
        taken: u64,
        inner: Arc<Mutex<Inner>>,
    ) -> Self {
        let topics = subscription.topics.iter();
        Self {
            number,
            group: subscription.group.clone(),
            begin: subscription.begin,
            topics: topics.map(|topic| topic.as_str().into()).collect(),
            next: Vec::new(),
            paused: HashSet::new(),
            elsewhere: 0,
            taken,
            releasing: None,
            inner,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let inner = Arc::clone(&self.inner);
        let inner = &mut *inner.lock();
        if let Some(releasing) = &mut self.releasing {
            if releasing.poll_unpin(cx).is_pending() {
                wait(inner, cx.waker());
                return Poll::Pending;
            }
            self.releasing = None;
            self.give_up(inner);
        }
        let event = (self.go(inner))
            .or_else(|| self.come(inner))
            .or_else(|| self.look(inner))
            .or_else(|| self.read(inner));
        match event {
            Some(event) => Poll::Ready(event),
            None => {
                wait(inner, cx.waker());
                Poll::Pending
            }
        }
    }

    /// The partitions are taken away.
    fn go(&mut self, inner: &mut Inner) -> Option<Event> {
        let (times, how) = inner.groups.get(&self.group)?.taken;
        if self.taken == times {
            return None;
        }
        self.taken = times;
        let partitions = self.next.iter().map(|(partition, _)| partition.clone());
        let partitions: Vec<_> = partitions.collect();
        if partitions.is_empty() {
            return None;
        }
        Some(match how {
            Taken::Lost => {
                self.give_up(inner);
                Event::Lost(partitions)
            }
            Taken::Revoked => {
                let (release, dropped) = Release::new();
                self.releasing = Some(dropped);
                Event::Revoked(partitions, release)
            }
        })
    }

    fn give_up(&mut self, inner: &mut Inner) {
        self.next.clear();
        self.paused.clear();
        if let Some(group) = inner.groups.get_mut(&self.group) {
            group.owners.retain(|_, owner| *owner != self.number);
        }
    }

    /// Takes the partitions that nobody has.
    fn come(&mut self, inner: &mut Inner) -> Option<Event> {
        let mut free = Vec::new();
        let owners = &inner.groups.entry(self.group.clone()).or_default().owners;
        for topic in &self.topics {
            let count = inner.topics.get(topic).map_or(0, Vec::len);
            free.extend((0..count).map(|number| Partition {
                topic: Arc::clone(topic),
                number: number as i32,
            }));
        }
        free.retain(|partition| !owners.contains_key(partition));
        if free.is_empty() {
            return None;
        }
        let starts: Vec<_> = free.iter().map(|own| self.start(inner, own)).collect();
        let group = inner.groups.entry(self.group.clone()).or_default();
        for (partition, start) in free.iter().zip(starts) {
            group.owners.insert(partition.clone(), self.number);
            if self.begin == Begin::Newest {
                group.done.entry(partition.clone()).or_insert(start);
            }
            self.next.push((partition.clone(), start));
        }
        Some(Event::Assigned(free))
    }

    /// Counts what others have.
    fn look(&mut self, inner: &Inner) -> Option<Event> {
        let owners = &inner.groups.get(&self.group)?.owners;
        let is_elsewhere = |(partition, owner): &(&Partition, &u64)| {
            **owner != self.number && self.topics.contains(&partition.topic)
        };
        let elsewhere = owners.iter().filter(is_elsewhere).count();
        let before = std::mem::replace(&mut self.elsewhere, elsewhere);
        (before != elsewhere).then_some(Event::Elsewhere(elsewhere))
    }

    fn start(&self, inner: &Inner, partition: &Partition) -> i64 {
        let done = inner.groups.get(&self.group).map(|group| &group.done);
        let done = done.into_iter().flatten();
        let of_topic = |(own, _): &(&Partition, &i64)| own.topic == partition.topic;
        let mut of_topic = done.filter(of_topic).peekable();
        let is_known = of_topic.peek().is_some();
        match of_topic.find(|(own, _)| *own == partition) {
            Some((_, done)) => *done,
            None if self.begin == Begin::Newest && !is_known => {
                inner.log(partition).map_or(0, super::Log::end)
            }
            None => 0,
        }
    }

    fn read(&mut self, inner: &mut Inner) -> Option<Event> {
        for (partition, next) in &mut self.next {
            if self.paused.contains(partition) {
                continue;
            }
            let Some(log) = inner.log(partition) else {
                continue;
            };
            if !(log.first..=log.end()).contains(next) {
                let reset = Reset {
                    partition: partition.clone(),
                    expected: *next,
                    found: log.first,
                };
                *next = reset.found;
                if let Some(group) = inner.groups.get_mut(&self.group) {
                    group.done.insert(reset.partition.clone(), reset.found);
                }
                return Some(Event::Reset(reset));
            }
            if let Some((written, record)) = log.records.get((*next - log.first) as usize) {
                let Record {
                    key,
                    payload,
                    headers,
                    ..
                } = record.clone();
                let arrival = Arrival {
                    partition: partition.clone(),
                    offset: *next,
                    written: Some(*written),
                    key,
                    payload,
                    headers,
                };
                *next += 1;
                return Some(Event::Record(arrival));
            }
        }
        None
    }
}

fn wait(inner: &mut Inner, waker: &Waker) {
    if !inner.waiting.iter().any(|known| known.will_wake(waker)) {
        inner.waiting.push(waker.clone());
    }
}

impl Consumer for Member {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(poll_fn(|cx| self.poll(cx)))
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
        let inner = Arc::clone(&self.inner);
        let mut inner = inner.lock();
        self.give_up(&mut inner);
        inner.wake_all();
    }
}
