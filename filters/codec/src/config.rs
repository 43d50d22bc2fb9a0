//! What YAML says of a `codec` entry, and whether it makes sense.

use linkgate_filter::problem::Problems;
use linkgate_filter::units::ByteSize;
use linkgate_filter::{Form, JsonSchema};
use serde::{Deserialize, Serialize};

/// The config of `use: codec`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How messages look on the wire. Links that are open keep the form they began with. A listener that is fixed to
    /// another form cannot serve the pipeline. `legacy_json` is for clients of older gateways: JSON in binary frames, with
    /// commands such as `COMMAND_TYPE_UPSTREAM_MESSAGE` and without faults.
    pub format: Format,
    /// The longest key, in bytes: `1B` to `4KiB`.
    pub max_key: ByteSize,
    /// The largest body, in bytes once decoded: from `1B`. The listener's `max_message` bounds the whole frame before
    /// this is looked at.
    pub max_body: ByteSize,
    /// What to do about a message with a command that is not known, or is not a client's to send.
    pub on_unknown_command: Reaction,
    /// What to do about an UPSTREAM_MESSAGE or a DOWNSTREAM_ACK without a key.
    pub on_missing_key: Reaction,
    /// What to do about a frame that is no message at all, or a text frame where the form is binary, or the reverse.
    pub on_garbage: Reaction,
    /// What to do about a key over `max_key` or a body over `max_body`.
    pub on_oversize: Reaction,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Negotiated,
            max_key: ByteSize::new(128),
            max_body: ByteSize::kib(64),
            on_unknown_command: Reaction::Nack,
            on_missing_key: Reaction::Nack,
            on_garbage: Reaction::Close,
            on_oversize: Reaction::Nack,
        }
    }
}

impl Config {
    pub(crate) const MAX_KEY: ByteSize = ByteSize::kib(4);

    pub(crate) fn check(&self) -> Problems {
        let mut problems = Problems::new();
        if self.max_key.bytes() == 0 || self.max_key > Self::MAX_KEY {
            problems
                .at("max_key", format!("`{}` is out of range", self.max_key))
                .hint(format!("write 1B to {}", Self::MAX_KEY));
        }
        if self.max_body.bytes() == 0 {
            problems
                .at("max_body", "no message fits into no bytes")
                .hint("write 1B or more, such as 64KiB");
        }
        problems
    }
}

/// How messages look on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Protobuf in binary frames, whatever the client asked for.
    Protobuf,
    /// JSON in text frames, whatever the client asked for.
    Json,
    /// What the listener and the client agreed on by the WebSocket subprotocol.
    Negotiated,
    /// JSON as clients of older gateways speak it: in binary frames, with commands such as
    /// `COMMAND_TYPE_UPSTREAM_MESSAGE` and without faults. Text frames and names without the prefix are taken too.
    LegacyJson,
}

impl Format {
    /// The form of every link, if it is not for the client to choose.
    pub(crate) fn fixed(self) -> Option<Form> {
        match self {
            Self::Protobuf => Some(Form::Protobuf),
            Self::Json | Self::LegacyJson => Some(Form::Json),
            Self::Negotiated => None,
        }
    }

    pub(crate) fn form(self, negotiated: Form) -> Form {
        self.fixed().unwrap_or(negotiated)
    }
}

/// What to do about a frame that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Answer with an UPSTREAM_NACK, with the message's key as far as there is one.
    Nack,
    /// Answer likewise, then close the link.
    Close,
}
