//! From operations to commands of Redis, and from its answers to records.

use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::entry::{Letter, device_text, id_text, key, record};
use crate::edges::directory::{
    ClaimOf, END_OF_NUMBERS, MOST_CLAIMS, MOST_DISPLACED, Operation, Record,
};
use crate::edges::redis::milliseconds;
use crate::edges::redis::script::{By, Script};

static CLAIM: Script = Script::new(include_str!("claim.lua"));
static PARK: Script = Script::new(include_str!("park.lua"));
static REMOVE: Script = Script::new(include_str!("remove.lua"));

/// Commands for these operations, in their order. `by`: how each script is named where it comes first; then the server
/// knows it.
pub(super) fn pipeline(prefix: &str, operations: &[Operation], by: By) -> Pipeline {
    let mut told: Vec<&Script> = Vec::new();
    let mut by = |script: &'static Script| {
        if told.iter().any(|known| std::ptr::eq(*known, script)) {
            return By::Hash;
        }
        told.push(script);
        by
    };
    let mut pipeline = Pipeline::with_capacity(operations.len());
    for operation in operations {
        let key = key(prefix, operation.user());
        pipeline.add_command(match operation {
            Operation::Claim(of) => claim(CLAIM.command(by(&CLAIM), &key), of),
            Operation::Release(_, id) => {
                let fields = [Letter::Claim, Letter::Displaced].map(|letter| letter.field(id));
                REMOVE.command(by(&REMOVE), &key).arg(&fields).take()
            }
            Operation::Park(_, id) => {
                let field = Letter::Claim.field(id);
                PARK.command(by(&PARK), &key).arg(field).take()
            }
            Operation::Find(_) => redis::cmd("HGETALL").arg(key).take(),
            Operation::Confirm(_, ids) => {
                let fields: Vec<_> = ids.iter().map(|id| Letter::Displaced.field(id)).collect();
                REMOVE.command(by(&REMOVE), &key).arg(fields).take()
            }
        });
    }
    pipeline
}

fn claim(mut command: Cmd, of: &ClaimOf) -> Cmd {
    let epoch = of.epoch.map_or_else(String::new, |epoch| epoch.to_string());
    command
        .arg(id_text(&of.id))
        .arg(device_text(of.device.as_ref()))
        .arg(epoch)
        .arg(of.raise)
        .arg(of.most.max(1))
        .arg(&*milliseconds(of.keep))
        .arg(MOST_CLAIMS)
        .arg(MOST_DISPLACED)
        .arg(END_OF_NUMBERS);
    command
}

/// What Redis answers to these operations, and how many displaced claims were forgotten.
pub(super) fn answers(
    operations: &[Operation],
    values: Vec<Value>,
) -> RedisResult<(Vec<RedisResult<Record>>, u64)> {
    if values.len() != operations.len() {
        let what = "Redis did not answer every command of a pipeline";
        return Err(RedisError::from((ErrorKind::UnexpectedReturnType, what)));
    }
    let mut forgotten = 0;
    let mut read = |(operation, value): (&Operation, Value)| {
        let value = value.extract_error()?;
        Ok(match operation {
            Operation::Claim(_) => {
                let (more, fields): (u64, Fields) = FromRedisValue::from_redis_value(value)?;
                forgotten += more;
                record(fields)
            }
            Operation::Find(_) => record(Fields::from_redis_value(value)?),
            Operation::Release(..) | Operation::Park(..) | Operation::Confirm(..) => {
                Record::default()
            }
        })
    };
    let records = operations.iter().zip(values).map(&mut read).collect();
    Ok((records, forgotten))
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
