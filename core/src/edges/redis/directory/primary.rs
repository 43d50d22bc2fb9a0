//! One primary: its connection, its life, and the operations under way there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linkgate_filter::{EdgeError, EdgeFailure};
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::commands::{answers, pipeline};
use super::life::{NoLife, Signs, eviction};
use super::slots::{Ranges, Served, key_within};
use crate::edges::config::RedisConfig;
use crate::edges::directory::{Answer, DirectoryError, Life, MOST_DISPLACED, Operation, Record};
use crate::edges::redis::connection::{Connection, Connections};
use crate::edges::redis::script::{By, is_unknown};
use crate::edges::redis::{FULL, LATE, failure, is_broken};
use crate::edges::words::{Hint, Words};

/// What all primaries of a directory share.
pub(super) struct Common {
    pub(super) prefix: &'static str,
    pub(super) words: Arc<Words>,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: u32,
    /// Somebody has met a sign that the Cluster has changed.
    pub(super) has_moved: Notify,
    has_warned: AtomicBool,
}

/// One primary and what it serves.
pub(super) struct Primary {
    common: Arc<Common>,
    connections: Arc<Connections>,
    signs: Signs,
    places: Arc<Semaphore>,
    /// The life that was read last, and the number of the connection that it was read by.
    seen: Mutex<Option<(u64, Life)>>,
}

const REPLICA: Hint = Hint {
    kind: "replica",
    todo: "wait until its replica has been promoted, or name the primary",
};

const EVICTS: Hint = Hint {
    kind: "evicts",
    todo: "set `maxmemory-policy noeviction` there: a user who is evicted cannot be reached",
};

const FORGOTTEN: Hint = Hint {
    kind: "forgotten",
    todo: "see why nodes do not answer when they are told that links were displaced",
};

impl Common {
    pub(super) fn new(words: &Arc<Words>, prefix: &'static str, config: &RedisConfig) -> Self {
        Self {
            prefix,
            words: Arc::clone(words),
            timeout: *config.timeout,
            max_in_flight: config.max_in_flight,
            has_moved: Notify::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// What is told of a Redis that failed.
    pub(super) fn failed(&self, error: &RedisError) -> DirectoryError {
        failure::say(&self.words, error, &format!("{}:user", self.prefix));
        DirectoryError::Store(failure::failure(error))
    }

    fn late(&self) -> DirectoryError {
        let what = format!("no answer within {:?}", self.timeout);
        self.words.say(LATE, &what);
        let late = EdgeError::new(EdgeFailure::TimedOut, what).effect_unknown();
        DirectoryError::Store(late)
    }
}

impl Primary {
    /// `served`: it is of a Cluster.
    pub(super) fn new(
        common: &Arc<Common>,
        connections: Arc<Connections>,
        served: Option<&Served>,
    ) -> Self {
        let stem = format!("{}:life", common.prefix);
        let nonce = served.and_then(|served| key_within(&stem, &served.ranges));
        Self {
            signs: Signs {
                nonce: nonce.unwrap_or(stem),
                slots: served.map(|served| (served.ranges.clone(), served.address.clone())),
            },
            connections,
            places: Arc::new(Semaphore::new(common.max_in_flight as usize)),
            seen: Mutex::default(),
            common: Arc::clone(common),
        }
    }

    pub(super) fn is(&self, served: &Served) -> bool {
        let of = |(ranges, address): &(Ranges, _)| {
            *ranges == served.ranges && *address == served.address
        };
        self.signs.slots.as_ref().is_some_and(of)
    }

    /// Reads the life, over a new connection if there is none.
    pub(super) async fn life(&self) -> Result<Life, DirectoryError> {
        let mut number = None;
        let reading = async {
            let (mut connection, opened) = self.connections.get().await?;
            number = Some(opened);
            let life = self.signs.read(&mut connection).await?;
            let is_new = self.seen.lock().is_none_or(|(seen, _)| seen != opened);
            if is_new {
                self.warn(&mut connection).await?;
            }
            *self.seen.lock() = Some((opened, life));
            Ok(life)
        };
        let read = timeout(self.common.timeout, reading).await;
        let trouble = match read {
            Ok(Ok(life)) => return Ok(life),
            Ok(Err(trouble)) => trouble,
            Err(_) => {
                self.give_up(number);
                return Err(self.common.late());
            }
        };
        match trouble {
            NoLife::Redis(error) => Err(self.failed(number, &error)),
            NoLife::Replica => {
                self.give_up(number);
                let what = "this is a replica";
                self.common.words.say(REPLICA, what);
                let replica = EdgeError::new(EdgeFailure::Unreachable, what);
                Err(DirectoryError::Store(replica))
            }
            NoLife::Moved => {
                *self.seen.lock() = None;
                self.common.has_moved.notify_one();
                Err(DirectoryError::Moved)
            }
        }
    }

    /// Says once if users may be lost when the memory is full.
    async fn warn(&self, connection: &mut Connection) -> RedisResult<()> {
        if self.common.has_warned.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(policy) = eviction(connection).await?
            && !self.common.has_warned.swap(true, Ordering::Relaxed)
        {
            let what = format!("its `maxmemory-policy` is `{policy}`");
            self.common.words.say(EVICTS, &what);
        }
        Ok(())
    }

    /// Takes operations there, if the connection is the one by which this life was read.
    pub(super) async fn run(
        &self,
        life: Life,
        operations: &[Operation],
    ) -> Result<Vec<Answer>, DirectoryError> {
        operations.iter().try_for_each(Operation::check)?;
        let Some((connection, number)) = self.connections.opened() else {
            return Err(DirectoryError::OtherLife);
        };
        if *self.seen.lock() != Some((number, life)) {
            return Err(DirectoryError::OtherLife);
        }
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let _places = self.places(operations.len())?;
        let running = self.ask(connection, operations);
        match timeout(self.common.timeout, running).await {
            Ok(Ok(answers)) => {
                let told = |answer: RedisResult<_>| {
                    answer.map_err(|error| self.failed(Some(number), &error))
                };
                Ok(answers.into_iter().map(told).collect())
            }
            Ok(Err(error)) => Err(self.failed(Some(number), &error)),
            Err(_) => {
                self.give_up(Some(number));
                Err(self.common.late())
            }
        }
    }

    /// All operations are taken there anew if a script was not known: those behind it may have depended on it.
    async fn ask(
        &self,
        mut connection: Connection,
        operations: &[Operation],
    ) -> RedisResult<Vec<RedisResult<Record>>> {
        let mut ask = async |by| {
            let pipeline = pipeline(self.common.prefix, operations, by);
            answers(operations, connection.run(&pipeline).await?)
        };
        let (mut records, mut forgotten) = ask(By::Hash).await?;
        if records
            .iter()
            .filter_map(|record| record.as_ref().err())
            .any(is_unknown)
        {
            (records, forgotten) = ask(By::Text).await?;
        }
        if forgotten > 0 {
            let what = format!(
                "a user has more than {MOST_DISPLACED} displaced links; {forgotten} are forgotten"
            );
            self.common.words.say(FORGOTTEN, &what);
        }
        Ok(records)
    }

    fn places(&self, operations: usize) -> Result<OwnedSemaphorePermit, DirectoryError> {
        let most = self.common.max_in_flight;
        let places = u32::try_from(operations).unwrap_or(most).min(most);
        let taken = Arc::clone(&self.places).try_acquire_many_owned(places);
        taken.map_err(|_| {
            let what = "`max_in_flight` operations are under way";
            self.common.words.say(FULL, what);
            DirectoryError::Store(EdgeError::new(EdgeFailure::Full, what))
        })
    }

    fn failed(&self, number: Option<u64>, error: &RedisError) -> DirectoryError {
        let code = error.code();
        if is_broken(error) || code == Some("LOADING") {
            self.give_up(number);
        }
        let is_of_cluster = self.signs.slots.is_some();
        let has_moved = matches!(code, Some("MOVED" | "ASK")) && is_of_cluster;
        if has_moved || is_broken(error) || code == Some("CLUSTERDOWN") {
            self.common.has_moved.notify_one();
        }
        if has_moved {
            return DirectoryError::Moved;
        }
        self.common.failed(error)
    }

    /// Gives up the connection: by the next one the life is to be read again.
    fn give_up(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.connections.drop_broken(number);
        }
        self.common.has_moved.notify_one();
    }
}
