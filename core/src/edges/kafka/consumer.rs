//! A member of a consumer group: a thread of its own polls librdkafka, so that neither a slow reader nor a rebalance holds
//! up anybody else, and the reader takes what the thread has put aside.
//!
//! Offsets are stored by [`Consumer::done`] alone. librdkafka writes what is stored once a second, before a partition is
//! given back, and on leaving.

mod context;
mod health;
mod others;
mod reader;
mod shared;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::broker::{Consumer, Event, Partition, Subscription};
use linkgate_filter::{EdgeError, EdgeFailure};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::reader::Reader;
use self::shared::Shared;
use super::failure;
use crate::edges::config::KafkaConfig;
use crate::edges::words::Words;

/// How long leaving a group may take. The thread goes on trying after that, but nobody waits for it.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The reader's side.
pub(super) struct KafkaConsumer {
    shared: Arc<Shared>,
    /// Ends with the thread.
    left: Option<oneshot::Receiver<()>>,
}

impl KafkaConsumer {
    pub(super) fn start(
        config: &KafkaConfig,
        subscription: &Subscription,
        words: &Arc<Words>,
    ) -> Result<Self, EdgeError> {
        let shared = Arc::new(Shared::new(subscription));
        let (leaving, left) = oneshot::channel();
        let reader = Reader::new(config, subscription, (&shared, words));
        // The first one here, so that what librdkafka refuses is heard of at once.
        let consumer = reader.consumer().map_err(|error| failure::error(&error))?;
        std::thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn(move || {
                reader.run(consumer);
                let _ = leaving.send(());
            })
            .map_err(|error| EdgeError::new(EdgeFailure::Unreachable, error.to_string()))?;
        Ok(Self {
            shared,
            left: Some(left),
        })
    }
}

impl Consumer for KafkaConsumer {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(poll_fn(|cx| self.shared.poll_next(cx)))
    }

    fn done(&mut self, partition: &Partition, offset: i64) {
        self.shared.done(partition, offset);
    }

    fn pause(&mut self, partition: &Partition) {
        self.shared.pause(partition);
    }

    fn resume(&mut self, partition: &Partition) {
        self.shared.resume(partition);
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let left = self.left.take();
        // Dropping is what tells the thread to leave.
        drop(self);
        Box::pin(async move {
            let Some(left) = left else { return };
            if timeout(CLOSE_WITHIN, left).await.is_err() {
                tracing::warn!("kafka: the brokers do not let a consumer go; it is left behind");
            }
        })
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shared.leave();
    }
}
