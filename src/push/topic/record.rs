//! Records of topics to pushes and back: what was written, what is parked, what is no push.

use std::time::{Duration, SystemTime};

use linkgate_filter::broker::{Arrival, Record};
use linkgate_filter::{Bytes, Fault, Identity};
use linkgate_proto::v1;
use prost::Message as _;

use crate::push::message::Push;
use crate::push::requests::{self, INVALID, unix_ms};

/// A push that was read.
pub(super) struct Taken {
    pub(super) push: Push,
    pub(super) receivers: Vec<String>,
    pub(super) history: History,
}

/// What goes with a push from topic to topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    /// `topic/partition/offset` of the record it first was.
    pub(super) id: String,
    /// How often it was parked.
    pub(super) parked: u32,
    /// When it was first read.
    pub(super) first: SystemTime,
    /// It is not to be sent before this.
    pub(super) not_before: Option<SystemTime>,
}

const ID: &str = "linkgate-id";
const PARKED: &str = "linkgate-parked";
const FIRST: &str = "linkgate-first-ms";
const NOT_BEFORE: &str = "linkgate-not-before-ms";
const REASON: &str = "linkgate-reason";
const DETAIL: &str = "linkgate-detail";

impl Taken {
    /// Reads a record. What its headers say of its history counts only where linkgate alone writes: in the topic of
    /// parked pushes.
    pub(super) fn read(arrival: &Arrival, is_parked: bool, now: SystemTime) -> Result<Self, Fault> {
        let request = request(&arrival.payload)?;
        let (push, receivers) = requests::read(request)?;
        let history = is_parked.then(|| History::read(arrival)).flatten();
        let history = history.unwrap_or_else(|| History {
            id: place(arrival),
            parked: 0,
            first: now,
            not_before: None,
        });
        Ok(Self {
            push,
            receivers,
            history,
        })
    }
}

fn place(arrival: &Arrival) -> String {
    let partition = &arrival.partition;
    format!(
        "{}/{}/{}",
        partition.topic, partition.number, arrival.offset
    )
}

impl History {
    fn read(arrival: &Arrival) -> Option<Self> {
        let header = |name: &str| {
            let mut headers = arrival.headers.iter();
            let (_, value) = headers.find(|(key, _)| key == name)?;
            std::str::from_utf8(value).ok()
        };
        let time = |name| {
            let ms = header(name)?.parse().ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
        };
        Some(Self {
            id: header(ID)?.to_owned(),
            parked: header(PARKED)?.parse().ok()?,
            first: time(FIRST)?,
            not_before: time(NOT_BEFORE),
        })
    }

    fn headers(&self) -> Vec<(String, Bytes)> {
        let mut headers = vec![
            (ID.to_owned(), self.id.clone().into()),
            (PARKED.to_owned(), self.parked.to_string().into()),
            (FIRST.to_owned(), unix_ms(self.first).to_string().into()),
        ];
        let not_before = self.not_before.map(|at| unix_ms(at).to_string().into());
        headers.extend(not_before.map(|at| (NOT_BEFORE.to_owned(), at)));
        headers
    }
}

/// A push as a record, for those who have not got it.
pub(super) fn push(topic: &str, push: &Push, receivers: Vec<String>, history: &History) -> Record {
    let user = receivers.first().map_or("", String::as_str);
    Record {
        topic: topic.to_owned(),
        key: Identity::new(&push.biz_id, user).to_string().into(),
        payload: requests::write(push, receivers).encode_to_vec().into(),
        headers: history.headers(),
    }
}

/// Says in the headers of a record why nobody got what it holds.
pub(super) fn with_reason(mut record: Record, reason: &Fault) -> Record {
    let mut say = |name: &str, value: String| record.headers.push((name.to_owned(), value.into()));
    say(REASON, reason.code.to_string());
    if !reason.detail.is_empty() {
        say(DETAIL, reason.detail.to_string());
    }
    record
}

/// A record that is no push, as it came.
pub(super) fn poison(topic: &str, arrival: &Arrival) -> Record {
    let mut headers = arrival.headers.clone();
    headers.retain(|(name, _)| ![ID, REASON, DETAIL].contains(&name.as_str()));
    headers.push((ID.to_owned(), place(arrival).into()));
    Record {
        topic: topic.to_owned(),
        key: arrival.key.clone(),
        payload: arrival.payload.clone(),
        headers,
    }
}

/// Reads either form. No protobuf of a push begins with a brace, as there is no such field.
fn request(payload: &Bytes) -> Result<v1::PushRequest, Fault> {
    let invalid = |what: String| Fault::backend(INVALID).detail(what);
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(invalid("the record is empty".to_owned())),
        Some(b'{') => requests::from_json(payload),
        Some(_) => v1::PushRequest::decode(payload.clone())
            .map_err(|_| invalid("neither JSON nor a `PushRequest` in protobuf".to_owned())),
    }
}

#[cfg(test)]
mod tests;
