//! Sends what has to be confirmed, until it is, or refused for good.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use linkgate_filter::broker::{self, Broker, Delivery, Record};
use linkgate_filter::{Clock, EdgeError, EdgeFailure};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use crate::telemetry::limit::Every;

/// Something that has to be confirmed, and where to.
pub struct Letter {
    /// For the log: the topic, or the service.
    to: Arc<str>,
    send: Box<dyn Fn() -> Delivery + Send + Sync>,
    /// Makes what is sent in place of a letter that will not be had, such as one that is too large.
    instead: Option<Instead>,
}

type Instead = Box<dyn FnOnce() -> Vec<Letter> + Send>;

impl Letter {
    /// A letter that is sent by `send`, as often as it takes.
    pub(super) fn new(to: Arc<str>, send: impl Fn() -> Delivery + Send + Sync + 'static) -> Self {
        Self {
            to,
            send: Box::new(send),
            instead: None,
        }
    }

    /// A record for a topic.
    pub fn record(broker: &Arc<dyn Broker>, record: Record) -> Self {
        let broker = Arc::clone(broker);
        Self::new(record.topic.as_str().into(), move || {
            broker::deliver(&broker, record.clone())
        })
    }

    /// Sends these in place of a letter that is refused.
    #[must_use]
    pub fn or(mut self, instead: impl FnOnce() -> Vec<Letter> + Send + 'static) -> Self {
        self.instead = Some(Box::new(instead));
        self
    }
}

/// Sends letters until they are confirmed. Who does not confirm is waited for, with pauses that grow to 5 s. A letter that is
/// refused for good, and so is what is sent in its place, is counted, logged, and not sent again.
#[derive(Clone)]
pub struct Writer {
    clock: Arc<dyn Clock>,
    failed: Counter,
    refused: Counter,
    /// Letters that failed together are not sent again together: one that is never taken would hold up the others.
    jitter: Arc<Mutex<fastrand::Rng>>,
}

impl Writer {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);

    /// `failed` counts the letters that were not confirmed and are sent again, `refused` those that nobody will have.
    pub fn new(clock: Arc<dyn Clock>, failed: Counter, refused: Counter) -> Self {
        Self {
            clock,
            failed,
            refused,
            jitter: Arc::new(Mutex::new(fastrand::Rng::with_seed(0))),
        }
    }

    /// Ends once all letters are confirmed or refused.
    pub async fn write(self, letters: Vec<Letter>) {
        join_all(letters.into_iter().map(|letter| self.deliver(letter))).await;
    }

    async fn deliver(&self, letter: Letter) {
        let mut pause = Self::FIRST_PAUSE;
        loop {
            let Err(error) = (letter.send)().await else {
                return;
            };
            if error.failure == EdgeFailure::Refused {
                let Some(instead) = letter.instead else {
                    self.refused.inc();
                    return log_refused(&letter.to, &error);
                };
                self.failed.inc();
                log(&letter.to, &error);
                return Box::pin(self.clone().write(instead())).await;
            }
            self.failed.inc();
            log(&letter.to, &error);
            let share = 0.5 + self.jitter.lock().f64() / 2.0;
            let until = self.clock.now() + pause.mul_f64(share);
            self.clock.sleep_until(until).await;
            pause = (pause * 2).min(Self::LONGEST_PAUSE);
        }
    }
}

fn log(to: &str, error: &EdgeError) {
    static FAILED: Every = Every::new(Duration::from_secs(1));
    if let Some(held_back) = FAILED.pass() {
        tracing::warn!(
            to,
            %error,
            held_back,
            "what a backend is to be told could not be sent; it is tried again, or another way"
        );
    }
}

fn log_refused(to: &str, error: &EdgeError) {
    static REFUSED: Every = Every::new(Duration::from_secs(1));
    if let Some(held_back) = REFUSED.pass() {
        tracing::error!(
            to,
            %error,
            held_back,
            "what a backend is to be told is refused for good; it is dropped"
        );
    }
}
