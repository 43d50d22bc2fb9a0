//! The bound on records on their way to the brokers, and the wait for room. librdkafka has a bound of its own, but says
//! nothing when there is room again.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use linkgate_filter::broker::Record;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::edges::config::KafkaQueue;

/// What a record is charged beside its bytes.
const EACH: usize = 256;

/// Counts what is on the way.
pub(super) struct Queue {
    max_messages: usize,
    max_bytes: usize,
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    messages: usize,
    bytes: usize,
    /// Closed once full, until it is half empty: whoever waits is woken once for many places, not for each.
    closed: bool,
}

/// A place in the queue, given back when it is dropped.
pub(super) struct Place {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.leave(self.bytes);
    }
}

impl Queue {
    pub(super) fn new(bounds: &KafkaQueue) -> Arc<Self> {
        Arc::new(Self {
            max_messages: bounds.max_messages as usize,
            max_bytes: bounds.max_bytes.as_usize(),
            state: Mutex::default(),
            room: Notify::new(),
        })
    }

    /// A place for the record, unless the queue is full. The last one may be larger than what is left.
    pub(super) fn enter(self: &Arc<Self>, record: &Record) -> Option<Place> {
        let bytes = weight(record);
        let mut state = self.state.lock();
        if state.messages >= self.max_messages || state.bytes >= self.max_bytes {
            state.closed = true;
        }
        if state.closed {
            return None;
        }
        state.messages += 1;
        state.bytes += bytes;
        Some(Place {
            queue: Arc::clone(self),
            bytes,
        })
    }

    fn leave(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.messages -= 1;
        state.bytes -= bytes;
        let half_empty =
            state.messages <= self.max_messages / 2 && state.bytes <= self.max_bytes / 2;
        if state.closed && half_empty {
            state.closed = false;
            drop(state);
            self.room.notify_waiters();
        }
    }

    /// Ends when records are taken again.
    pub(super) fn room(self: &Arc<Self>) -> BoxFuture<'static, ()> {
        let queue = Arc::clone(self);
        Box::pin(async move {
            loop {
                let mut opened = std::pin::pin!(queue.room.notified());
                // From here on no opening is missed, so the look comes after it.
                opened.as_mut().enable();
                if !queue.state.lock().closed {
                    return;
                }
                opened.await;
            }
        })
    }
}

fn weight(record: &Record) -> usize {
    let headers = record.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    EACH + record.key.len() + record.payload.len() + headers
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use linkgate_filter::units::ByteSize;

    use super::*;

    fn queue(max_messages: u32, max_bytes: u64) -> Arc<Queue> {
        Queue::new(&KafkaQueue {
            max_messages,
            max_bytes: ByteSize::new(max_bytes),
        })
    }

    fn record(payload: usize) -> Record {
        Record {
            payload: Bytes::from(vec![0; payload]),
            ..Record::default()
        }
    }

    #[tokio::test]
    async fn a_full_queue_opens_again_when_it_is_half_empty() {
        let queue = queue(4, 1 << 20);
        let mut places: Vec<_> = (0..4).map(|_| queue.enter(&record(1)).unwrap()).collect();
        assert!(queue.room().now_or_never().is_some(), "nobody was refused");
        assert!(queue.enter(&record(1)).is_none());
        let room = tokio::spawn(queue.room());
        drop(places.pop());
        assert!(queue.enter(&record(1)).is_none(), "others wait already");
        tokio::task::yield_now().await;
        assert!(!room.is_finished());
        drop(places.pop());
        room.await.unwrap();
        assert!(queue.enter(&record(1)).is_some());
    }

    #[test]
    fn bytes_bound_it_too_and_a_large_record_fits_into_an_empty_queue() {
        let queue = queue(100, 1000);
        let place = queue.enter(&record(5000)).unwrap();
        assert!(queue.enter(&record(1)).is_none());
        drop(place);
        assert!(queue.enter(&record(1)).is_some());
    }
}
