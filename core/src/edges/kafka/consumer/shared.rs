//! What the reader and the polling thread have in common: events and records that are ready, and what each partition is
//! meant to do. librdkafka is never called under its lock.

mod state;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use linkgate_filter::EdgeError;
use linkgate_filter::broker::{Arrival, Event, Partition, Release, Subscription};
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use self::state::{Held, State, weight};

pub(super) struct Shared {
    /// The reader's half of `read_ahead`.
    read_ahead: usize,
    release_within: Duration,
    state: Mutex<State>,
    /// The thread has something to do.
    bell: Condvar,
}

/// What the thread is to tell librdkafka.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) halt: Vec<Partition>,
    /// Halted ones, to be read on; from the offset if one is given.
    pub(super) go_on: Vec<(Partition, Option<i64>)>,
    pub(super) done: Vec<(Partition, i64)>,
    /// Groups' offsets that are beyond the end of the log: to what they are to be set back.
    pub(super) lower: Vec<(Partition, i64)>,
}

/// A partition that has been assigned.
pub(super) struct Start {
    pub(super) partition: Partition,
    /// `None`: at its oldest record.
    pub(super) offset: Option<i64>,
    /// The group has said nothing of it so far, and is to have this offset.
    pub(super) say: bool,
}

impl Shared {
    pub(super) fn new(subscription: &Subscription) -> Self {
        Self {
            read_ahead: subscription.read_ahead / 2,
            release_within: subscription.release_within,
            state: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        self.state.lock().rung = true;
        self.bell.notify_one();
    }

    /// The thread sleeps until somebody rings, or for `most`.
    pub(super) fn wait(&self, most: Duration) {
        let mut state = self.state.lock();
        if !state.rung {
            self.bell.wait_for(&mut state, most);
        }
        state.rung = false;
    }
}

/// The reader's side.
impl Shared {
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut state = self.state.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(event);
        }
        match state.next_record() {
            Some(arrival) => {
                if state.is_relieved(self.read_ahead) {
                    drop(state);
                    self.ring();
                }
                Poll::Ready(Event::Record(arrival))
            }
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn done(&self, partition: &Partition, offset: i64) {
        let mut state = self.state.lock();
        let Some(held) = state.held.get_mut(partition) else {
            return;
        };
        held.note_done(offset);
    }

    pub(super) fn pause(&self, partition: &Partition) {
        let mut state = self.state.lock();
        if let Some(held) = state.held.get_mut(partition) {
            held.paused = true;
            held.rewind = true;
            state.forget(partition);
            state.is_relieved(self.read_ahead);
            drop(state);
            self.ring();
        }
    }

    pub(super) fn resume(&self, partition: &Partition) {
        let mut state = self.state.lock();
        if let Some(held) = state.held.get_mut(partition) {
            held.paused = false;
            drop(state);
            self.ring();
        }
    }

    pub(super) fn leave(&self) {
        self.state.lock().leaving = true;
        self.ring();
    }
}

/// The thread's side.
impl Shared {
    pub(super) fn is_leaving(&self) -> bool {
        self.state.lock().leaving
    }

    /// A record has been polled.
    pub(super) fn push(&self, arrival: Arrival) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.note_fall(&arrival.partition, arrival.offset);
        let Some(held) = state.held.get_mut(&arrival.partition) else {
            return;
        };
        held.note_first(arrival.offset);
        if held.paused || held.rewind || held.revoked {
            return;
        }
        held.polled = arrival.offset + 1;
        if held.ready.is_empty() {
            state.turns.push_back(arrival.partition.clone());
        }
        state.bytes += weight(&arrival);
        held.ready.push_back(arrival);
        state.stalled |= state.bytes >= self.read_ahead;
        state.wake_reader();
    }

    /// The offset that was to come in place of this record, if it has to be found out where what lies between has gone.
    pub(super) fn gap(&self, arrival: &Arrival) -> Option<i64> {
        let mut state = self.state.lock();
        let held = state.held.get_mut(&arrival.partition)?;
        held.gap(arrival.offset, Instant::now())
    }

    /// The records from `expected` to `found` are in the log no more.
    pub(super) fn lost_records(&self, partition: &Partition, expected: i64, found: i64) {
        self.state.lock().note_loss(partition, expected, found);
    }

    /// What librdkafka is to be told now.
    pub(super) fn orders(&self) -> Orders {
        let mut state = self.state.lock();
        let (stalled, now) = (state.stalled, Instant::now());
        let mut orders = Orders::default();
        for (partition, held) in &mut state.held {
            // One that has to go back is halted on the way, however short its pause was.
            if !held.halted && (held.rewind || !held.wants(stalled)) {
                orders.halt.push(partition.clone());
            } else if held.halted && held.wants(stalled) {
                orders.go_on.push((partition.clone(), held.target()));
            }
            if let Some(offset) = held.take_done() {
                orders.done.push((partition.clone(), offset));
            }
            let lower = held.lower(now);
            orders
                .lower
                .extend(lower.map(|offset| (partition.clone(), offset)));
        }
        orders
    }

    /// librdkafka has paused it.
    pub(super) fn halted(&self, partition: &Partition) {
        if let Some(held) = self.state.lock().held.get_mut(partition) {
            held.halted = true;
        }
    }

    /// librdkafka reads it on, from `target`.
    pub(super) fn gone_on(&self, partition: &Partition, target: Option<i64>) {
        if let Some(held) = self.state.lock().held.get_mut(partition) {
            held.halted = false;
            // Paused again meanwhile, with records handed out in between? Then it has to be done once more.
            if target.is_none_or(|_| target == held.target()) && !held.paused {
                if held.rewind {
                    held.polled = held.position;
                }
                held.rewind = false;
            }
        }
    }

    /// librdkafka explains an error, which it is about to give.
    pub(super) fn say(&self, words: &str) {
        self.state.lock().words = Some(words.to_owned());
    }

    /// What it has explained.
    pub(super) fn words(&self) -> Option<String> {
        self.state.lock().words.take()
    }

    /// Whether the group has taken this member since the last call.
    pub(super) fn has_joined(&self) -> bool {
        std::mem::take(&mut self.state.lock().joined)
    }

    /// The brokers cannot be read.
    pub(super) fn failed(&self, error: EdgeError) {
        self.tell(Event::Failed(error));
    }

    /// They can be read again.
    pub(super) fn recovered(&self) {
        self.tell(Event::Recovered);
    }

    fn tell(&self, news: Event) {
        let mut state = self.state.lock();
        // A reader that is slow needs the latest only.
        let is_health = |event: &Event| matches!(event, Event::Failed(_) | Event::Recovered);
        if state.events.back().is_some_and(is_health) {
            state.events.pop_back();
        }
        state.events.push_back(news);
        state.wake_reader();
    }

    /// Has librdkafka begin anew where it is: what brokers refuse then, they say again.
    pub(super) fn read_anew(&self) {
        let mut state = self.state.lock();
        for partition in state::names(&state.held) {
            state.forget(&partition);
            if let Some(held) = state.held.get_mut(&partition) {
                held.rewind = true;
            }
        }
        state.is_relieved(self.read_ahead);
    }

    pub(super) fn assigned(&self, starts: Vec<Start>) {
        let mut state = self.state.lock();
        state.joined = true;
        if starts.is_empty() {
            return;
        }
        let mut partitions = Vec::new();
        for Start {
            partition,
            offset,
            say,
        } in starts
        {
            state.held.insert(partition.clone(), Held::at(offset, say));
            partitions.push(partition);
        }
        state.events.push_back(Event::Assigned(partitions));
        state.wake_reader();
    }

    /// The group has shared the partitions out anew.
    pub(super) fn rebalanced(&self) {
        self.state.lock().uncounted = true;
    }

    /// Whether the partitions have been shared out anew since this was last asked, and how many are held.
    pub(super) fn take_uncounted(&self) -> Option<usize> {
        let mut state = self.state.lock();
        std::mem::take(&mut state.uncounted).then(|| state.held.len())
    }

    /// Others have so many partitions.
    pub(super) fn elsewhere(&self, partitions: usize) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.elsewhere, partitions) != partitions {
            state.events.push_back(Event::Elsewhere(partitions));
            state.wake_reader();
        }
    }

    /// Whether a partition of the topic is held.
    pub(super) fn has_of(&self, topic: &str) -> bool {
        let state = self.state.lock();
        let mut held = state.held.keys();
        held.any(|partition| &*partition.topic == topic)
    }

    /// The consumer is of no use; another one has to take its place.
    pub(super) fn spoil(&self, error: EdgeError) {
        self.state.lock().spoilt = true;
        self.failed(error);
    }

    pub(super) fn take_spoilt(&self) -> bool {
        std::mem::take(&mut self.state.lock().spoilt)
    }

    /// The brokers have noted what is done of a partition.
    pub(super) fn noted(&self, partition: &Partition, offset: i64) {
        if let Some(held) = self.state.lock().held.get_mut(partition) {
            held.noted(offset);
        }
    }

    /// Lets the reader settle what it has of the partitions, and says what is done when it has, or its time is over.
    pub(super) fn revoke(self: &Arc<Self>, partitions: &[Partition]) -> Orders {
        let (release, mut dropped) = Release::new();
        {
            let mut state = self.state.lock();
            for partition in partitions {
                state.forget(partition);
                if let Some(held) = state.held.get_mut(partition) {
                    held.revoked = true;
                }
            }
            state.is_relieved(self.read_ahead);
            if !state.leaving {
                state
                    .events
                    .push_back(Event::Revoked(partitions.to_vec(), release));
                state.wake_reader();
            }
        }
        let waker = Waker::from(Arc::new(Bell(Arc::clone(self))));
        let until = Instant::now() + self.release_within;
        while dropped
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
            && !self.is_leaving()
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait(left);
        }
        self.give_up(partitions)
    }

    /// The partitions are another's already.
    pub(super) fn lost(&self, partitions: Vec<Partition>) {
        if partitions.is_empty() {
            return;
        }
        self.give_up(&partitions);
        let mut state = self.state.lock();
        state.events.push_back(Event::Lost(partitions));
        state.wake_reader();
    }

    /// All that are held.
    pub(super) fn held(&self) -> Vec<Partition> {
        state::names(&self.state.lock().held)
    }

    /// Those of them that librdkafka has paused.
    pub(super) fn halted_of(&self, partitions: &[Partition]) -> Vec<Partition> {
        let state = self.state.lock();
        let is_halted = |partition: &&Partition| {
            let held = state.held.get(*partition);
            held.is_some_and(|held| held.halted)
        };
        partitions.iter().filter(is_halted).cloned().collect()
    }

    /// The last word on all that is held.
    pub(super) fn last_words(&self) -> Orders {
        let mut orders = Orders::default();
        for (partition, held) in &self.state.lock().held {
            orders.last_word(partition, held);
        }
        orders
    }

    fn give_up(&self, partitions: &[Partition]) -> Orders {
        let mut state = self.state.lock();
        let mut orders = Orders::default();
        for partition in partitions {
            state.forget(partition);
            if let Some(held) = state.held.remove(partition) {
                orders.last_word(partition, &held);
            }
        }
        state.is_relieved(self.read_ahead);
        orders
    }
}

impl Orders {
    fn last_word(&mut self, partition: &Partition, held: &Held) {
        let Some((offset, lower)) = held.last_word() else {
            return;
        };
        let own = (partition.clone(), offset);
        self.lower.extend(lower.then(|| own.clone()));
        self.done.push(own);
    }
}

/// Wakes the thread when a [`Release`] is dropped.
struct Bell(Arc<Shared>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}
