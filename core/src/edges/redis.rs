//! A store, and a directory, on Redis. Operations of all links share one connection, where they are pipelined.

mod connection;
mod directory;
mod failure;
mod script;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::store::Store;
use linkgate_filter::{Bytes, EdgeError, EdgeFailure, Identity};
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::connection::Connections;
pub(super) use self::directory::RedisDirectory;
use self::script::{By, Script, is_unknown};
use super::config::RedisConfig;
use super::words::{Hint, Words};

/// A store on Redis.
pub(super) struct RedisStore {
    connections: Arc<Connections>,
    words: Arc<Words>,
    places: Arc<Semaphore>,
    timeout: Duration,
}

impl RedisStore {
    /// Connects with the first operation.
    pub(super) fn new(name: &str, config: &RedisConfig) -> Result<Self, String> {
        Ok(Self {
            words: Words::of("Redis", name),
            connections: Arc::new(Connections::new(config)?),
            places: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            timeout: *config.timeout,
        })
    }

    /// Runs a script on one key. A connection that turns out to be broken is tried once more: the values of a store name
    /// their writers, so that one of them may write twice.
    fn run<T: FromRedisValue + Send + 'static>(&self, call: Call) -> Answer<T> {
        let (connections, limit) = (Arc::clone(&self.connections), self.timeout);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let words = Arc::clone(&self.words);
        Box::pin(async move {
            let Ok(_place) = place else {
                let what = "`max_in_flight` operations are under way";
                words.say(FULL, what);
                return Err(EdgeError::new(EdgeFailure::Full, what));
            };
            let twice = async {
                match call.run(&connections).await {
                    Err(error) if is_broken(&error) => call.run(&connections).await,
                    other => other,
                }
            };
            match timeout(limit, twice).await {
                Ok(answer) => answer.map_err(|error| {
                    failure::say(&words, &error, &call.key);
                    failure::failure(&error)
                }),
                Err(_) => {
                    let what = format!("no answer within {limit:?}");
                    words.say(LATE, &what);
                    Err(EdgeError::new(EdgeFailure::TimedOut, what).effect_unknown())
                }
            }
        })
    }
}

const FULL: Hint = Hint {
    kind: "full",
    todo: "raise `max_in_flight` of the store, if Redis is quick enough",
};

const LATE: Hint = Hint {
    kind: "timed_out",
    todo: "see whether Redis is overloaded, or raise `timeout` of the store",
};

type Answer<T> = BoxFuture<'static, Result<T, EdgeError>>;

/// A script on one key.
struct Call {
    script: &'static Script,
    key: String,
    args: Vec<Bytes>,
}

/// Writes unless something is there, which is the answer then.
static INSERT: Script = Script::new(
    "local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false",
);

static REPLACE: Script = Script::new(
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1",
);

static REMOVE: Script = Script::new(
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])",
);

impl Call {
    async fn run<T: FromRedisValue>(&self, connections: &Arc<Connections>) -> RedisResult<T> {
        let (mut connection, number) = connections.get().await?;
        let mut answer = connection.call(&self.command(By::Hash)).await;
        if matches!(&answer, Err(error) if is_unknown(error)) {
            answer = connection.call(&self.command(By::Text)).await;
        }
        if matches!(&answer, Err(error) if is_broken(error)) {
            connections.drop_broken(number);
        }
        let answer: Value = answer?;
        Ok(T::from_redis_value(answer)?)
    }

    fn command(&self, by: By) -> redis::Cmd {
        let mut command = self.script.command(by, &self.key);
        for arg in &self.args {
            command.arg(&**arg);
        }
        command
    }
}

/// Whether another connection may do better, to this server or to the one that has taken its place.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// Redis counts in milliseconds, from 1.
fn milliseconds(time: Duration) -> Bytes {
    time.as_millis().max(1).to_string().into()
}

impl Store for RedisStore {
    /// Redis has the room that its operator gives it; nobody has a share.
    fn insert(
        &self,
        _: &Identity,
        key: String,
        value: Bytes,
        keep: Duration,
    ) -> Answer<Option<Bytes>> {
        let found = self.run::<Option<Vec<u8>>>(Call {
            script: &INSERT,
            key,
            args: vec![value, milliseconds(keep)],
        });
        Box::pin(async move { Ok(found.await?.map(Bytes::from)) })
    }

    fn replace(&self, key: String, expected: Bytes, value: Bytes, keep: Duration) -> Answer<bool> {
        self.run(Call {
            script: &REPLACE,
            key,
            args: vec![expected, value, milliseconds(keep)],
        })
    }

    fn remove(&self, key: String, expected: Bytes) -> Answer<bool> {
        self.run(Call {
            script: &REMOVE,
            key,
            args: vec![expected],
        })
    }
}
