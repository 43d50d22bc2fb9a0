//! What stands in a case file, and behind the sentences of its steps.

mod seen;

use std::collections::BTreeMap;
use std::net::IpAddr;

use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use self::seen::{
    SeenBody, SeenBodyForm, SeenCall, SeenClose, SeenCloseForm, SeenFault, SeenFaultForm,
    SeenMessage, SeenOutcome, SeenPresence, SeenRecord, SeenRefusal, SeenRefusalForm, SeenReport,
};

/// One or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected one, or a list of them")]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Cases for a configuration: what its clients, backends, brokers and stores do, and what the gateway then does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The configuration under test: files or directories, from the folder of this file on. Default: the file of the
    /// same name without `.test`.
    #[serde(default)]
    pub config: Option<OneOrMany<String>>,
    /// What `${NAME}` in the configuration stands for. The process's own variables are not looked at.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What `${file:PATH}` in the configuration stands for, by the path as it is written there. Files that are not named
    /// here are read.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The clients, by the names that steps call them. One that is not named here connects as the user of its name.
    #[serde(default)]
    pub clients: BTreeMap<String, Client>,
    /// What may happen in any case without being stated: steps that say what is seen.
    #[serde(default)]
    pub allow: Vec<Value>,
    /// Branches that no case can reach, such as `chat/limit: closed`, and why. Coverage leaves them out.
    #[serde(default)]
    pub unreachable: BTreeMap<String, String>,
    /// The cases. Each starts a node of its own.
    pub cases: Vec<Case>,
}

/// A case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, as a sentence. `<NAME>` stands for a value of the row of `examples`.
    pub name: String,
    /// Clients of this case, as in the file's `clients`.
    #[serde(default)]
    pub clients: BTreeMap<String, Client>,
    /// What may happen without being stated, beside what the file allows; `[]`: nothing, whatever the file allows.
    #[serde(default)]
    pub allow: Vec<Value>,
    /// Rows of values: the case runs once for each, with `<NAME>` filled in wherever it stands.
    #[serde(default)]
    pub examples: Vec<BTreeMap<String, Value>>,
    /// What happens, in order.
    pub steps: Vec<Value>,
}

/// A client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// The listener it connects to. Default: the first that serves its business.
    pub listener: Option<String>,
    /// Its business. Default: the only one of the configuration.
    pub biz_id: Option<String>,
    /// Its user. Default: the client's name.
    pub user_id: Option<String>,
    /// Its device. Default: none.
    pub device_id: Option<String>,
    /// The form of its messages. Default: `protobuf`, or what the listener is fixed to.
    pub form: Option<Form>,
    /// Where it connects from. Default: 127.0.0.1.
    pub from: Option<IpAddr>,
    /// Sends bodies as they are, where a filter of the pipeline has bodies sealed. Default: false; bodies are written
    /// here in clear, and sealed and opened on the way.
    pub bare: bool,
}

/// The form of a client's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Protobuf in binary frames.
    Protobuf,
    /// JSON in text frames.
    Json,
}

/// How a client connects, where not as usual.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Connect {
    /// The request's path. Default: the listener's.
    pub path: Option<String>,
    /// `Origin` of the request. Default: none.
    pub origin: Option<String>,
    /// The token, word by word. Default: a good one, where the listener takes tokens.
    pub token: Option<String>,
    /// How long its token is good. Default: a day.
    pub token_for: Option<HumanDuration>,
    /// More headers of the request.
    pub headers: BTreeMap<String, String>,
}

/// A message that a client sends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its command. Default: `UPSTREAM_MESSAGE`.
    #[serde(default)]
    pub cmd: Option<String>,
    /// Its key. `<n>` counts from 1 where `times` is given.
    #[serde(default)]
    pub key: Body,
    /// Its body. Default: empty.
    #[serde(default)]
    pub body: Body,
    /// Sends so many of it, one after the other. Default: 1.
    #[serde(default)]
    pub times: Option<u32>,
}

/// Bytes: a text, or `hex`, `base64` or `json` of them, or a text that is repeated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a text, or one of `{ hex: ... }`, `{ base64: ... }`, `{ json: ... }` and `{ bytes: 100 }`"
)]
pub enum Body {
    /// UTF-8.
    Text(String),
    /// Its digits.
    Number(serde_json::Number),
    /// Another form.
    Other(BodyForm),
}

/// Bytes that are no text, or a long one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum BodyForm {
    /// In hexadecimal digits; spaces do not count.
    #[serde(rename = "hex")]
    Hex(String),
    /// In standard base64.
    #[serde(rename = "base64")]
    Base64(String),
    /// A value as JSON: sent without spaces, seen however it is written.
    #[serde(rename = "json")]
    Json(Value),
    /// So many bytes `x`.
    #[serde(rename = "bytes")]
    Bytes(usize),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A push. Which source it comes by follows from the configuration where there is one alone.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// The source it comes by. Default: the first that the configuration has of `grpc`, `kafka` and `http`.
    #[serde(default)]
    pub by: Option<Source>,
    /// Its key.
    pub key: String,
    /// Its business. Default: the only one of the configuration.
    #[serde(default)]
    pub biz_id: Option<String>,
    /// The users: one or many.
    pub to: OneOrMany<String>,
    /// Only to this device of them.
    #[serde(default)]
    pub device_id: Option<String>,
    /// Its body. Default: empty.
    #[serde(default)]
    pub body: Body,
    /// Not worth sending after this time.
    #[serde(default)]
    pub expires_in: Option<HumanDuration>,
    /// Whether clients acknowledge it. Default: true.
    #[serde(default)]
    pub ack: Option<bool>,
    /// Delivered only when all devices have acknowledged it. Default: false.
    #[serde(default)]
    pub all: bool,
    /// How long the caller waits for the outcome, by `grpc` and `http`. Default: 1h.
    #[serde(default)]
    pub wait: Option<HumanDuration>,
    /// The caller's token, word by word. Default: one that the source takes for this business.
    #[serde(default)]
    pub token: Option<String>,
    /// Pushes so many of it, one after the other, `<n>` in the key counting from 1. Default: 1.
    #[serde(default)]
    pub times: Option<u32>,
}

/// A source of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `PushService`.
    Grpc,
    /// The topic.
    Kafka,
    /// `POST /v1/push`.
    Http,
}

/// What is wrong with a store or a broker: for how long, and in what way.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a time such as `3s`, or `{ for: 3s, with: full }`"
)]
pub enum Trouble {
    /// It cannot be reached for so long.
    For(HumanDuration),
    /// In another way.
    Other(TroubleForm),
    /// Until it recovers.
    Open(()),
}

/// What is wrong with a store or a broker.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TroubleForm {
    /// For how long. Default: until it recovers.
    pub r#for: Option<HumanDuration>,
    /// In what way. Default: `unreachable`.
    pub with: Failure,
    /// Whether what was asked for may have happened: `none` or `unknown`. Default: `none`.
    pub effect: Effect,
    /// Answers this much later instead of failing.
    pub slow: Option<HumanDuration>,
    /// Nothing is wrong any more.
    #[serde(skip)]
    pub over: bool,
}

/// In what way a store or a broker fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It cannot be reached.
    #[default]
    Unreachable,
    /// It does not answer in time.
    TimedOut,
    /// It has no room; of a broker: nothing more is taken.
    Full,
    /// It will not.
    Refused,
}

/// Whether something may have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It has not.
    #[default]
    None,
    /// It may have.
    Unknown,
}

/// A record that another program writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its key. Default: empty.
    #[serde(default)]
    pub key: String,
    /// Its payload. Default: empty.
    #[serde(default)]
    pub body: Body,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What a backend answers: to a message, or to each of a batch in its order.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// The answer for the client. Default: empty.
    pub body: Body,
    /// This message is refused, by a fault in the response; in a batch, in its result.
    pub fails: Option<ItemFault>,
    /// In a batch: no result for this message.
    pub missing: bool,
}

/// Why a backend refuses a message.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItemFault {
    /// Its code.
    pub code: String,
    /// Whether the client may try again. Default: false.
    pub retryable: bool,
    /// Not before so long.
    pub retry_after: Option<HumanDuration>,
    /// Whether it may have had an effect. Default: `none`.
    pub effect: Effect,
    /// What the client is told, in words. Default: nothing.
    pub detail: String,
}

/// Why something fails: the name of a gRPC status, or of a broker's failure; or more of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a name such as `UNAVAILABLE`, or `{ with: UNAVAILABLE, message: ..., pushback: 2s }`"
)]
pub enum Fails {
    /// The name alone.
    With(String),
    /// And more.
    Other(FailsForm),
}

impl Fails {
    /// All of it.
    pub fn form(&self) -> FailsForm {
        match self {
            Self::With(with) => FailsForm {
                with: with.clone(),
                ..FailsForm::default()
            },
            Self::Other(form) => form.clone(),
        }
    }
}

/// Why something fails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailsForm {
    /// The name of a gRPC status such as `UNAVAILABLE`, or one of `unreachable`, `timed_out`, `full` and `refused` of a
    /// broker.
    pub with: String,
    /// What the backend says about it.
    pub message: String,
    /// The wait it asks for, as `grpc-retry-pushback-ms`.
    pub pushback: Option<HumanDuration>,
    /// Of a broker: whether the record may be there all the same. Default: `none`.
    pub effect: Effect,
}
