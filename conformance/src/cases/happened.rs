//! What has happened in a case.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::language::{Place, With};

/// Something that has happened.
pub struct Entry {
    /// When, from the start of the case on.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What has happened.
pub enum What {
    /// Something that has to be stated.
    Seen(Seen),
    /// A filter has said something.
    Said(Said),
}

/// Something that can be seen from outside.
pub struct Seen {
    /// Where.
    pub at: Place,
    /// What.
    pub what: Value,
    /// The same, otherwise: a message as the frame that it came in.
    pub frame: Option<Value>,
    /// Whoever waits for an answer.
    pub answer: Option<oneshot::Sender<With>>,
    /// Which step has stated it.
    pub stated: Stated,
}

/// Whether a step has stated what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// None has.
    No,
    /// It need not be.
    Allowed,
    /// This one has, counted from 0.
    By(usize),
}

/// What a filter has said.
pub struct Said {
    /// The business.
    pub biz_id: Arc<str>,
    /// The user; empty in a trunk.
    pub user_id: Arc<str>,
    /// The filter.
    pub filter: Arc<str>,
    /// In a line.
    pub text: String,
}
