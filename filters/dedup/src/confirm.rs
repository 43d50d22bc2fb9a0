//! Tells the store what became of a message, before its client is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_filter::store::Store;
use linkgate_filter::{Bytes, Clock, EdgeError, Fault, LinkInfo, Outcome};

use crate::config::{Config, OnStoreFailure, OnUnknown};
use crate::{Counters, record};

/// Writes down the outcome of one message.
pub(crate) struct Confirmer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<Config>,
    pub(crate) counters: Counters,
    /// On whose account the key is.
    pub(crate) link: Arc<LinkInfo>,
    pub(crate) key: String,
    /// The reservation.
    pub(crate) value: Bytes,
}

/// Tries at growing distances.
struct Tries {
    until: Instant,
    pause: Duration,
}

impl Confirmer {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    const LONGEST_PAUSE: Duration = Duration::from_millis(250);

    /// Gives what the client is to be told.
    pub(crate) async fn confirm(self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Accepted(answer) => {
                let most = self.config.max_answer.as_usize();
                let done = record::accepted(&answer.body, most);
                if self.record(done).await || self.config.on_store_failure == OnStoreFailure::Pass {
                    return Outcome::Accepted(answer);
                }
                self.counters.unconfirmed.inc();
                let fault = Fault::gateway("dedup.unconfirmed").effect_unknown();
                let fault =
                    fault.detail("the message was accepted, but that could not be recorded");
                Outcome::Unknown(fault.retryable())
            }
            Outcome::Failed(fault) => {
                self.free().await;
                Outcome::Failed(fault)
            }
            Outcome::Unknown(fault) if self.config.on_unknown == OnUnknown::Retry => {
                self.free().await;
                let wait = fault.retry_after.unwrap_or_default();
                Outcome::Unknown(fault.retry_after(wait))
            }
            Outcome::Unknown(mut fault) => {
                self.record(record::unknown()).await;
                fault.retry_after = None;
                Outcome::Unknown(fault)
            }
        }
    }

    /// Writes in place of the reservation, for as long as there is patience. Says whether it stands there.
    async fn record(&self, done: Bytes) -> bool {
        let mut tries = self.tries();
        loop {
            match self.try_record(&done).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => {
                    self.counters.store_failed.inc();
                }
            }
            if !self.again(&mut tries).await {
                return false;
            }
        }
    }

    fn tries(&self) -> Tries {
        Tries {
            until: self.clock.now() + *self.config.confirm_within,
            pause: Self::FIRST_PAUSE,
        }
    }

    /// Waits until it is time for the next try; the last one is when patience ends.
    async fn again(&self, tries: &mut Tries) -> bool {
        let now = self.clock.now();
        if now >= tries.until {
            return false;
        }
        self.clock
            .sleep_until(tries.until.min(now + tries.pause))
            .await;
        tries.pause = (tries.pause * 2).min(Self::LONGEST_PAUSE);
        true
    }

    /// `false`: somebody was quicker, and it is to be tried once more.
    async fn try_record(&self, done: &Bytes) -> Result<bool, EdgeError> {
        if self.replace(&self.value, done).await? {
            return Ok(true);
        }
        // The reservation is gone: it had run out, or an earlier try of this one has done it.
        let (key, keep) = (self.key.clone(), *self.config.remember_for);
        let owner = &self.link.identity;
        let found = self.store.insert(owner, key, done.clone(), keep).await?;
        let Some(found) = found.filter(|found| found != done) else {
            return Ok(true);
        };
        self.counters.lost.inc();
        // Somebody else works on the message again. If that fails it frees the key, so what is known of it now must stand
        // there; unless more is known already.
        if record::read(done).says_more_than(&record::read(&found)) {
            return self.replace(&found, done).await;
        }
        Ok(true)
    }

    async fn replace(&self, expected: &Bytes, done: &Bytes) -> Result<bool, EdgeError> {
        let (key, keep) = (self.key.clone(), *self.config.remember_for);
        let (expected, done) = (expected.clone(), done.clone());
        self.store.replace(key, expected, done, keep).await
    }

    /// Frees a key that may have been reserved although the store did not say so: nobody else would. Not for longer than
    /// there is patience, as the reservation ends by itself.
    pub(crate) async fn take_back(self) {
        let mut tries = self.tries();
        while self.remove().await.is_err() && self.again(&mut tries).await {}
    }

    /// Frees the key. One that cannot be freed ends by itself.
    pub(crate) async fn free(&self) {
        if self.remove().await.is_err() && self.remove().await.is_err() {
            self.counters.store_failed.inc();
        }
    }

    async fn remove(&self) -> Result<bool, EdgeError> {
        let (key, value) = (self.key.clone(), self.value.clone());
        self.store.remove(key, value).await
    }
}
