//! The case language: what a `*.test.yaml` may say, read with the places of what it says.
//!
//! A case is a list of steps. Each is a sentence, `ann sends: { ... }`: somebody does something, or something is seen. The
//! types of what stands behind the sentences are the reference ([`docs`]), and give the JSON Schema ([`schema`]).
//! What may not enter: how a step is carried out.

mod checks;
pub mod docs;
mod examples;
mod read;
pub mod schema;
mod sentence;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use linkgate_core::config::source::Span;
pub use read::read;
pub(super) use text::{bytes, flow, unhex};

/// The cases of one file.
#[derive(Debug)]
pub struct CaseFile {
    /// Where they were read from.
    pub path: PathBuf,
    /// Their text.
    pub text: String,
    /// The configuration under test.
    pub config: Vec<PathBuf>,
    /// What `${VAR}` in it stands for.
    pub variables: BTreeMap<String, String>,
    /// What `${file:...}` in it stands for, by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Branches that no case can reach, and why.
    pub unreachable: BTreeMap<String, String>,
    /// The cases, one for each row of its examples.
    pub cases: Vec<Case>,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The clients, by the names that steps call them.
    pub clients: BTreeMap<String, docs::Client>,
    /// What may happen without being stated.
    pub allow: Vec<Expectation>,
    /// What happens.
    pub steps: Vec<Step>,
}

impl CaseFile {
    /// Other configurations that its cases change to.
    pub fn others(&self) -> impl Iterator<Item = &PathBuf> {
        let steps = self.cases.iter().flat_map(|case| &case.steps);
        let paths = steps.map(|step| match &step.kind {
            Kind::Action(Action::Config(paths, _)) => paths.as_slice(),
            _ => &[],
        });
        paths.flatten()
    }
}

impl Case {
    /// Whether it states nothing yet.
    pub fn is_new(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.kind, Kind::Action(_)))
    }
}

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub span: Span,
    /// How it is shown, in one line.
    pub text: String,
    /// What it is.
    pub kind: Kind,
}

/// What a step is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Something is done.
    Action(Action),
    /// Something is seen.
    Expectation(Expectation),
    /// Several things are seen, whichever comes first.
    AnyOrder(Vec<Expectation>),
    /// Nothing is seen that is not stated.
    Nothing,
    /// So many faults were counted since this was last asked, by filter and code.
    Faults(BTreeMap<String, BTreeMap<String, u64>>),
    /// So much have metrics grown since this was last asked.
    Metrics(BTreeMap<String, f64>),
}

/// Something that is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// A client connects; or again, whatever has become of its connection.
    Connect(String, docs::Connect, bool),
    /// A client sends messages or frames, each so often.
    Send(String, Vec<Sent>),
    /// A client is gone without a word.
    Disconnect(String),
    /// A client says goodbye.
    Close(String, u16),
    /// A client reads, or does not.
    Read(String, bool),
    /// Nobody answers at a backend's addresses, or somebody does again.
    Backend(String, bool),
    /// What is wrong with a broker.
    Broker(String, docs::Trouble),
    /// Another program writes a record.
    Write(String, docs::Record),
    /// What is wrong with a store.
    Store(String, docs::Trouble),
    /// A backend pushes.
    Push(docs::Push),
    /// Time passes.
    Pass(Duration),
    /// The configuration changes to that of other files.
    Config(Vec<PathBuf>, bool),
    /// The node stops, within so long.
    Stop(Duration),
}

/// What a client sends.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A message, in the client's form.
    Message(docs::Message),
    /// A text frame as it is.
    Text(String),
    /// A binary frame as it is.
    Binary(Vec<u8>),
}

/// Something that is seen.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Where.
    pub at: Place,
    /// What, as it is written.
    pub what: Value,
    /// What is done about it.
    pub answer: Answer,
    /// How often it is seen, one after the other; `<n>` in it counts from 1.
    pub times: u32,
}

impl Expectation {
    /// What is seen the `n`th time.
    pub fn nth(&self, n: u32) -> Self {
        let at = match &self.at {
            Place::Ended(key) => Place::Ended(key.replace("<n>", &n.to_string())),
            other => other.clone(),
        };
        Self {
            at,
            what: counted(&self.what, n.into()),
            ..self.clone()
        }
    }
}

fn counted(value: &Value, n: u64) -> Value {
    match value {
        Value::String(text) => text.replace("<n>", &n.to_string()).into(),
        Value::Array(items) => items.iter().map(|item| counted(item, n)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.clone(), counted(value, n));
            fields.iter().map(field).collect()
        }
        other => other.clone(),
    }
}

/// Where something is seen, and as what it is read there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A message that a client gets.
    Message(String),
    /// A frame that a client gets, as it is.
    Frame(String),
    /// The end of a client's link.
    Closed(String),
    /// The answer to a client that is not let in.
    Refused(String),
    /// A call for one message at a backend.
    Call(String),
    /// A call for many messages at a backend.
    Batch(String),
    /// Reports at a backend.
    Reports(String),
    /// Presence at a backend.
    Presence(String),
    /// A record on its way to a broker.
    Record(String),
    /// The outcome of a push, by its key.
    Ended(String),
}

/// What is done about something that is seen.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// After so long.
    pub after: Duration,
    /// What.
    pub with: With,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub enum With {
    /// Yes, without a word.
    #[default]
    Yes,
    /// Yes, with this.
    Said(Vec<docs::Answer>),
    /// No.
    Fails(docs::Fails),
    /// None, ever.
    Never,
}
