//! What stands behind the sentences of what is seen. What is written is laid beside what was seen as it is; the types are its
//! schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Body;

/// A message that a client gets. What is not written is empty; of `fault`, `code` has to be written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenMessage {
    /// Its command.
    pub cmd: String,
    /// Its key.
    #[serde(default)]
    pub key: SeenBody,
    /// Its body.
    #[serde(default)]
    pub body: SeenBody,
    /// Its fault: the code, or more.
    #[serde(default)]
    pub fault: Option<SeenFault>,
}

/// Bytes that are seen: a text, the forms of what is sent, or what is in them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a text, or one of `{ hex: ... }`, `{ base64: ... }`, `{ json: ... }`, `{ contains: ... }`, `{ bytes: 100 }` and `{ any: true }`"
)]
pub enum SeenBody {
    /// These bytes.
    These(Body),
    /// What is in them.
    Other(SeenBodyForm),
}

impl Default for SeenBody {
    fn default() -> Self {
        Self::These(Body::default())
    }
}

/// `true`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "bool")]
#[schemars(with = "bool")]
pub struct Yes;

impl TryFrom<bool> for Yes {
    type Error = &'static str;

    fn try_from(yes: bool) -> Result<Self, Self::Error> {
        if yes {
            Ok(Self)
        } else {
            Err("write `any: true`, or what it is")
        }
    }
}

/// What may be said of bytes without writing them down.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum SeenBodyForm {
    /// JSON that has at least these fields.
    #[serde(rename = "contains")]
    Contains(Value),
    /// Whatever they are.
    #[serde(rename = "any")]
    Any(Yes),
}

/// A fault: its code, or more of it. What is not written is not looked at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the code of a fault, or `{ code, source, retryable, retry_after_ms, effect }`"
)]
pub enum SeenFault {
    /// The code.
    Code(String),
    /// More.
    Other(SeenFaultForm),
}

/// What may be said of a fault.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenFaultForm {
    /// Its code.
    pub code: String,
    /// Whose fault it is: `CLIENT`, `BACKEND` or `GATEWAY`.
    #[serde(default)]
    pub source: Option<String>,
    /// Whether sending again can help.
    #[serde(default)]
    pub retryable: Option<bool>,
    /// After so many milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u32>,
    /// Whether it may have had an effect: `NONE` or `UNKNOWN`.
    #[serde(default)]
    pub effect: Option<String>,
    /// For people.
    #[serde(default)]
    pub detail: Option<String>,
}

/// What became of a push for a user: the status, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected DELIVERED, SENT, OFFLINE, EXPIRED or REJECTED, or `{ status: REJECTED, reason: CODE }`"
)]
pub enum SeenOutcome {
    /// The status.
    Status(SeenStatus),
    /// More.
    Other(SeenOutcomeForm),
}

/// What became of a push for a user.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenOutcomeForm {
    /// The status.
    pub status: SeenStatus,
    /// Why.
    #[serde(default)]
    pub reason: Option<SeenFault>,
}

/// How a push ended for a user.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SeenStatus {
    /// The client acknowledged it.
    Delivered,
    /// It was sent, and no acknowledgement was asked for.
    Sent,
    /// The user is not connected.
    Offline,
    /// Its time was over.
    Expired,
    /// It was not taken.
    Rejected,
}

/// The end of a link: the code, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a close code, or `{ code: 4500, reason: replaced }`"
)]
pub enum SeenClose {
    /// The code; 1006 without a word, as browsers say.
    Code(u16),
    /// More.
    Other(SeenCloseForm),
}

/// The end of a link.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenCloseForm {
    /// The code.
    pub code: u16,
    /// The reason.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The answer to a client that is not let in: the status, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected an HTTP status, or `{ status: 401, text: ... }`"
)]
pub enum SeenRefusal {
    /// The HTTP status.
    Status(u16),
    /// More.
    Other(SeenRefusalForm),
}

/// The answer to a client that is not let in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenRefusalForm {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// A message that a backend gets. What is not written of `key` and `body` is empty; the rest is looked at where it is
/// written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenCall {
    /// The client's key.
    #[serde(default)]
    pub key: SeenBody,
    /// The body.
    #[serde(default)]
    pub body: SeenBody,
    /// The business.
    #[serde(default)]
    pub biz_id: Option<String>,
    /// The user.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The device.
    #[serde(default)]
    pub device_id: Option<String>,
    /// Which try of the gateway it is, from 1.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// In a batch: so many of them, one after the other; `<n>` counts from 1. Default: 1.
    #[serde(default)]
    pub times: Option<u32>,
}

/// A report of a push. `key`, `receiver_id` and `status` have to be written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenReport {
    /// Of the push.
    pub key: String,
    /// The user.
    pub receiver_id: String,
    /// How it ended: `DELIVERED`, `SENT`, `OFFLINE`, `EXPIRED`, `REJECTED`.
    pub status: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<SeenFault>,
    /// Its business.
    #[serde(default)]
    pub biz_id: Option<String>,
    /// The device.
    #[serde(default)]
    pub device_id: Option<String>,
    /// How often it was taken up.
    #[serde(default)]
    pub attempts: Option<u32>,
}

/// An event of presence. `kind` and `user_id` have to be written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenPresence {
    /// `ONLINE`, `OFFLINE` or `NODE_STARTED`.
    pub kind: String,
    /// The user.
    #[serde(default)]
    pub user_id: String,
    /// The business.
    #[serde(default)]
    pub biz_id: Option<String>,
    /// The device.
    #[serde(default)]
    pub device_id: Option<String>,
    /// The user's links after it.
    #[serde(default)]
    pub links: Option<u32>,
}

/// A record on its way to a broker. What is not written of `topic`, `key` and `body` is empty; headers are looked at where
/// they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenRecord {
    /// Its topic.
    pub topic: String,
    /// Its key.
    #[serde(default)]
    pub key: SeenBody,
    /// Its payload.
    #[serde(default)]
    pub body: SeenBody,
    /// Headers it has.
    #[serde(default)]
    pub headers: BTreeMap<String, SeenBody>,
}
