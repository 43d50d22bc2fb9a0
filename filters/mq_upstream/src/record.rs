//! What a record says. The form is public: backends read it.
//!
//! The key is `bizID-userID`, with `-` and `%` inside a part escaped as `%2D` and `%25`. The payload is the message's body
//! as the client sent it (after `decrypt`); an envelope is [`Envelope`] as JSON. The headers are those of [`header`],
//! UTF-8 texts as they are.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use linkgate_filter::broker::Record;
use linkgate_filter::trace::{TraceId, link_id};
use linkgate_filter::{Identity, Message};
use serde::Serialize;

/// The names of headers.
pub mod header {
    /// The business.
    pub const BIZ_ID: &str = "linkgate-biz-id";
    /// The user.
    pub const USER_ID: &str = "linkgate-user-id";
    /// The user's device, where the client names one. Not on an envelope.
    pub const DEVICE_ID: &str = "linkgate-device-id";
    /// The link, unique over nodes and restarts. Not on an envelope.
    pub const LINK_ID: &str = "linkgate-link-id";
    /// The message's key, given by the client. Not on an envelope.
    pub const KEY: &str = "linkgate-key";
    /// The message's command, `UPSTREAM_MESSAGE`. Not on an envelope.
    pub const COMMAND: &str = "linkgate-command";
    /// How many messages an envelope has; on envelopes only.
    pub const MESSAGES: &str = "linkgate-messages";
    /// The trace, as the W3C writes it.
    pub const TRACE: &str = "traceparent";
}

/// All upstream messages have one command; control messages end before the last step.
const COMMAND: &str = "UPSTREAM_MESSAGE";

/// The payload of an envelope: messages of one user, in the order sent.
#[derive(Serialize)]
pub struct Envelope<'a> {
    /// At least one.
    pub msgs: Vec<Enveloped<'a>>,
}

/// A message in an envelope.
#[derive(Serialize)]
pub struct Enveloped<'a> {
    /// Given by the client.
    pub key: &'a str,
    /// The command.
    pub command: &'static str,
    /// The body, in base64.
    pub body: String,
    /// The business.
    pub biz_id: &'a str,
    /// The user.
    pub user_id: &'a str,
    /// The user's device, where the client names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<&'a str>,
    /// The link, unique over nodes and restarts.
    pub link_id: String,
}

/// The record key of a user.
pub(crate) fn key(identity: &Identity) -> Bytes {
    let user = Identity {
        device_id: None,
        ..identity.clone()
    };
    user.to_string().into()
}

/// The record of one message.
pub(crate) fn single(m: &Message, topic: &str, trace: TraceId) -> Record {
    let mut headers = user_headers(&m.link.identity, trace);
    if let Some(device_id) = &m.link.identity.device_id {
        headers.push((header::DEVICE_ID.to_owned(), text(device_id)));
    }
    headers.extend([
        (header::LINK_ID.to_owned(), link_id(&m.link).into()),
        (header::KEY.to_owned(), text(&m.key)),
        (
            header::COMMAND.to_owned(),
            Bytes::from_static(COMMAND.as_bytes()),
        ),
    ]);
    Record {
        topic: topic.to_owned(),
        key: key(&m.link.identity),
        payload: m.body.clone(),
        headers,
    }
}

/// The record of several messages of one user.
pub(crate) fn envelope(messages: &[Message], topic: &str, trace: TraceId) -> Option<Record> {
    let identity = &messages.first()?.link.identity;
    let mut headers = user_headers(identity, trace);
    let count = messages.len().to_string();
    headers.push((header::MESSAGES.to_owned(), count.into()));
    let msgs = messages.iter().map(enveloped).collect();
    let payload = serde_json::to_vec(&Envelope { msgs }).ok()?;
    Some(Record {
        topic: topic.to_owned(),
        key: key(identity),
        payload: payload.into(),
        headers,
    })
}

fn enveloped(m: &Message) -> Enveloped<'_> {
    let identity = &m.link.identity;
    Enveloped {
        key: &m.key,
        command: COMMAND,
        body: BASE64_STANDARD.encode(&m.body),
        biz_id: &identity.biz_id,
        user_id: &identity.user_id,
        device_id: identity.device_id.as_deref(),
        link_id: link_id(&m.link),
    }
}

/// What a message adds to an envelope, at the most: base64 makes four bytes of three, JSON may make six of one.
pub(crate) fn enveloped_size(m: &Message) -> usize {
    const REST: usize = 160;
    let identity = &m.link.identity;
    let device_id = identity.device_id.as_deref().unwrap_or_default();
    let texts = m.key.len() + identity.biz_id.len() + identity.user_id.len() + device_id.len();
    REST + m.body.len().div_ceil(3) * 4 + texts * 6
}

fn user_headers(identity: &Identity, trace: TraceId) -> Vec<(String, Bytes)> {
    vec![
        (header::BIZ_ID.to_owned(), text(&identity.biz_id)),
        (header::USER_ID.to_owned(), text(&identity.user_id)),
        (header::TRACE.to_owned(), trace.parent().into()),
    ]
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
