//! How the life of one Redis is read: it is another one when that has been started anew, become the primary, got or given
//! slots, or lost its data.

use aws_lc_rs::digest::{SHA256, digest};
use redis::{FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::slots::{Address, Map, Ranges};
use crate::edges::directory::Life;
use crate::edges::redis::connection::Connection;

/// Why a life cannot be told.
pub(super) enum NoLife {
    Redis(RedisError),
    /// It is no primary.
    Replica,
    /// It serves other slots than it was said to.
    Moved,
}

impl From<RedisError> for NoLife {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// What a life is read by.
pub(super) struct Signs {
    /// The key whose value is lost with the data.
    pub(super) nonce: String,
    /// The slots that it serves, if it is of a Cluster, and where it is.
    pub(super) slots: Option<(Ranges, Address)>,
}

impl Signs {
    pub(super) async fn read(&self, connection: &mut Connection) -> Result<Life, NoLife> {
        let answers = connection.run(&self.question()).await?;
        let mut answers = answers.into_iter().map(Value::extract_error);
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let info = String::from_redis_value(next()?).map_err(RedisError::from)?;
        let nonce = Option::<String>::from_redis_value(next()?).map_err(RedisError::from)?;
        if field(&info, "role") != Some("master") {
            return Err(NoLife::Replica);
        }
        if let Some((ranges, address)) = &self.slots {
            let id = String::from_redis_value(next()?).map_err(RedisError::from)?;
            let map = Map::read(&next()?, address)?;
            if map.of(&id) != ranges {
                return Err(NoLife::Moved);
            }
        }
        let nonce = match nonce {
            Some(nonce) => nonce,
            None => self.leave_nonce(connection).await?,
        };
        let run = field(&info, "run_id").unwrap_or_default();
        let replication = field(&info, "master_replid").unwrap_or_default();
        let slots = self.slots.as_ref().map(|(ranges, _)| ranges);
        let text = format!("{run} {replication} {nonce} {slots:?}");
        let sum = digest(&SHA256, text.as_bytes());
        let first = sum.as_ref().iter().take(8);
        Ok(Life(
            first.fold(0, |life, byte| life << 8 | u64::from(*byte)),
        ))
    }

    fn question(&self) -> Pipeline {
        let mut pipeline = redis::pipe();
        pipeline.cmd("INFO").arg("server").arg("replication");
        pipeline.cmd("GET").arg(&self.nonce);
        if self.slots.is_some() {
            pipeline.cmd("CLUSTER").arg("MYID");
            pipeline.cmd("CLUSTER").arg("SLOTS");
        }
        pipeline
    }

    /// Leaves a value that no other one is, unless somebody has just done that. The value that is there then.
    async fn leave_nonce(&self, connection: &mut Connection) -> RedisResult<String> {
        let value = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut command = redis::cmd("SET");
        command.arg(&self.nonce).arg(&value).arg("NX").arg("GET");
        let found = connection.call(&command).await?;
        let found = Option::<String>::from_redis_value(found)?;
        Ok(found.unwrap_or(value))
    }
}

/// What becomes of keys when the server's memory is full, by `INFO memory`; `None` if none is lost.
pub(super) async fn eviction(connection: &mut Connection) -> RedisResult<Option<String>> {
    let info = connection.call(redis::cmd("INFO").arg("memory")).await?;
    let info = String::from_redis_value(info)?;
    let policy = field(&info, "maxmemory_policy");
    let evicts = policy.filter(|policy| *policy != "noeviction");
    Ok(evicts.map(str::to_owned))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(found, _)| *found == name)?;
    Some(value)
}
