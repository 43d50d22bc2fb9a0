//! Records of topics to pushes and back: what was written, what is parked, what is no push.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
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
    pub(super) id: Arc<str>,
    /// How often it was parked.
    pub(super) parked: u32,
    /// The number of this taking up, greater than those before; of a record just read, that of the taking up that parked it.
    pub(super) attempt: u64,
    /// It was sent before it was parked: somebody may have got it.
    pub(super) sent: bool,
    /// When it was first read, by the clock of that node: for people, and nothing is decided by it.
    pub(super) first: SystemTime,
    /// How long nodes have had it before it was parked, by their own clocks.
    pub(super) age: Duration,
    /// How long it has waited for users who were not here; less once there was one, or another node is to wait.
    pub(super) waited: Duration,
    /// How long it is to rest, from when it is read.
    pub(super) rest: Duration,
}

const ID: &str = "linkgate-id";
const PARKED: &str = "linkgate-parked";
const ATTEMPT: &str = "linkgate-attempt";
const SENT: &str = "linkgate-sent";
const FIRST: &str = "linkgate-first-ms";
const AGE: &str = "linkgate-age-ms";
const WAITED: &str = "linkgate-waited-ms";
const REST: &str = "linkgate-rest-ms";
const REASON: &str = "linkgate-reason";
const DETAIL: &str = "linkgate-detail";

/// Bytes of the detail.
const LONGEST_DETAIL: usize = 256;

impl Taken {
    /// Reads a record. What its headers say of its history counts only where linkgate alone writes: in the topic of
    /// parked pushes.
    pub(super) fn read(arrival: &Arrival, is_parked: bool, now: SystemTime) -> Result<Self, Fault> {
        let request = request(&arrival.payload)?;
        let (push, receivers) = requests::read(request)?;
        let history = is_parked.then(|| History::read(arrival)).flatten();
        let history = history.unwrap_or_else(|| History {
            id: place(arrival).into(),
            parked: 0,
            attempt: 0,
            sent: false,
            first: now,
            age: Duration::ZERO,
            waited: Duration::ZERO,
            rest: Duration::ZERO,
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

/// What tells a record from others that may have its place after it.
pub(super) fn print(arrival: &Arrival) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&arrival.key, &arrival.payload, arrival.written).hash(&mut hasher);
    hasher.finish()
}

impl History {
    fn read(arrival: &Arrival) -> Option<Self> {
        let header = |name: &str| {
            let mut headers = arrival.headers.iter();
            let (_, value) = headers.find(|(key, _)| key == name)?;
            std::str::from_utf8(value).ok()
        };
        let number = |name| header(name)?.parse().ok();
        // Former versions write neither attempt nor age nor rest. They write when the rest ends, by their clock; without a
        // clock in common that says nothing.
        let span = |name| Duration::from_millis(number(name).unwrap_or_default());
        Some(Self {
            id: header(ID)?.into(),
            parked: header(PARKED)?.parse().ok()?,
            attempt: number(ATTEMPT).unwrap_or_default(),
            sent: header(SENT).is_some(),
            first: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(number(FIRST)?))?,
            age: span(AGE),
            waited: span(WAITED),
            rest: span(REST),
        })
    }

    fn headers(&self) -> Vec<(String, Bytes)> {
        let mut headers = vec![
            (ID.to_owned(), self.id.to_string().into()),
            (PARKED.to_owned(), self.parked.to_string().into()),
            (ATTEMPT.to_owned(), self.attempt.to_string().into()),
            (FIRST.to_owned(), unix_ms(self.first).to_string().into()),
            (AGE.to_owned(), self.age.as_millis().to_string().into()),
            (
                WAITED.to_owned(),
                self.waited.as_millis().to_string().into(),
            ),
            (REST.to_owned(), self.rest.as_millis().to_string().into()),
        ];
        headers.extend(self.sent.then(|| (SENT.to_owned(), "true".into())));
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
        // It may quote what the record says, however long that is.
        let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= LONGEST_DETAIL;
        let detail = reason.detail.char_indices().take_while(fits);
        say(DETAIL, detail.map(|(_, c)| c).collect());
    }
    record
}

/// Where a dead letter was read, as `topic/partition/offset`, and why it is one. For the log: nothing of what it says.
pub(super) fn origin(record: &Record) -> (&str, &str) {
    let header = |name: &str| {
        let mut headers = record.headers.iter();
        let value = headers.find(|(key, _)| key == name).map(|(_, value)| value);
        value
            .and_then(|value| std::str::from_utf8(value).ok())
            .unwrap_or_default()
    };
    (header(ID), header(REASON))
}

/// The reason alone, for a record that is refused whole: it is too large, or has no key where the topic wants one. What is
/// left is short, whatever was written, and its key is where the record was.
pub(super) fn reason_alone(record: &Record) -> Record {
    let ours = |header: &&(String, Bytes)| [ID, REASON, DETAIL].contains(&header.0.as_str());
    let id = record.headers.iter().find(|(name, _)| name == ID);
    Record {
        topic: record.topic.clone(),
        key: id.map(|(_, id)| id.clone()).unwrap_or_default(),
        headers: record.headers.iter().filter(ours).cloned().collect(),
        ..Record::default()
    }
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

/// Reads either form. Protobuf can look like the beginning of JSON as well: a key of 10 bytes that begins with a brace has
/// line feeds before it.
fn request(payload: &Bytes) -> Result<v1::PushRequest, Fault> {
    let invalid = |what: &str| Fault::backend(INVALID).detail(what.to_owned());
    let protobuf = || requests::from_protobuf(payload);
    match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(invalid("the record is empty")),
        Some(b'{') => requests::from_json(payload).or_else(|why| protobuf().ok_or(why)),
        Some(_) => {
            protobuf().ok_or_else(|| invalid("neither JSON nor a `PushRequest` in protobuf"))
        }
    }
}

#[cfg(test)]
mod tests;
