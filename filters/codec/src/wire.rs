//! Frames to what they say, and back. Pure: no policy, no context; what to do about an unreadable frame is the
//! filter's business.

use bytes::Bytes;
use linkgate_filter::{Command, Fault, Form, Growth};
use linkgate_proto::v1;
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What for.
    pub command: Command,
    /// As sent; maybe empty.
    pub key: String,
    /// A slice of the frame where the form allows it.
    pub body: Bytes,
}

/// Why a frame says nothing. The key is empty where none could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not a message in this form.
    Garbage {
        /// The message's key.
        key: String,
    },
    /// A message with no command, or one that this version does not know.
    UnknownCommand {
        /// The message's key.
        key: String,
    },
}

/// Reads a frame.
///
/// # Errors
/// Says how far the reading came.
pub fn decode(form: Form, frame: &Bytes) -> Result<Decoded, Unreadable> {
    let message = match form {
        Form::Protobuf => v1::Message::decode(frame.clone())
            .map_err(|_| Unreadable::Garbage { key: String::new() })?,
        Form::Json => linkgate_proto::from_json(frame).map_err(|_| salvage(frame))?,
    };
    let v1::Message { cmd, key, body, .. } = message;
    match command(cmd) {
        Some(command) => Ok(Decoded { command, key, body }),
        None => Err(Unreadable::UnknownCommand { key }),
    }
}

/// Writes a frame. `fault` is meant for UPSTREAM_NACK and RATE_LIMIT_EXCEEDED.
pub fn encode(
    form: Form,
    command: Command,
    key: String,
    body: Bytes,
    fault: Option<&Fault>,
) -> Bytes {
    let message = v1::Message {
        cmd: command as i32,
        key,
        body,
        fault: fault.cloned().map(Into::into),
    };
    match form {
        Form::Protobuf => message.encode_to_vec().into(),
        Form::Json => {
            // Base64 takes 4 bytes for 3; the rest is room for names and a short fault.
            let size = message.key.len() + message.body.len() / 3 * 4 + 128;
            let mut text = Vec::with_capacity(size);
            match serde_json::to_writer(&mut text, &message) {
                Ok(()) => text.into(),
                // A vector takes all that is written, and the message holds no map with odd keys.
                Err(_) => Bytes::new(),
            }
        }
    }
}

/// What stands before a command in the JSON of older gateways.
const PREFIX: &str = "COMMAND_TYPE_";

/// Reads a frame in the JSON of older gateways.
///
/// # Errors
/// Says how far the reading came.
pub fn decode_legacy(frame: &Bytes) -> Result<Decoded, Unreadable> {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(frame) else {
        return Err(Unreadable::Garbage { key: String::new() });
    };
    if let Some(Value::String(name)) = fields.get_mut("cmd")
        && let Some(bare) = name.strip_prefix(PREFIX)
    {
        *name = bare.to_owned();
    }
    decode(Form::Json, &Value::Object(fields).to_string().into())
}

/// Writes a frame in the JSON of older gateways, which knows no fault.
pub fn encode_legacy(command: Command, key: String, body: Bytes) -> Bytes {
    let message = v1::Message {
        cmd: command as i32,
        key,
        body,
        fault: None,
    };
    // As in `encode`, this cannot fail.
    let mut fields = serde_json::to_value(&message).unwrap_or_default();
    if let Some(Value::String(name)) = fields.get_mut("cmd") {
        name.insert_str(0, PREFIX);
    }
    fields.to_string().into()
}

/// What [`encode`] and [`encode_legacy`] add, without a fault: names, lengths and, in a text, escapes (`\u0000` at worst).
pub fn growth(form: Form) -> Growth {
    match form {
        Form::Protobuf => Growth::NONE.plus(16).with_key(1.0),
        Form::Json => Growth::BASE64.plus(80).with_key(6.0),
    }
}

fn command(number: i32) -> Option<Command> {
    Some(match v1::Command::try_from(number).ok()? {
        v1::Command::Unspecified => return None,
        v1::Command::Heartbeat => Command::Heartbeat,
        v1::Command::UpstreamMessage => Command::UpstreamMessage,
        v1::Command::UpstreamAck => Command::UpstreamAck,
        v1::Command::DownstreamMessage => Command::DownstreamMessage,
        v1::Command::DownstreamAck => Command::DownstreamAck,
        v1::Command::Redirect => Command::Redirect,
        v1::Command::RateLimitExceeded => Command::RateLimitExceeded,
        v1::Command::UpstreamNack => Command::UpstreamNack,
    })
}

/// Finds out what is left of a text that is no message: the key for the answer, and whether only the command is
/// unknown.
fn salvage(frame: &[u8]) -> Unreadable {
    #[derive(Deserialize)]
    struct Rest {
        cmd: Option<Value>,
        key: Option<String>,
    }
    let Ok(Rest { cmd, key }) = serde_json::from_slice(frame) else {
        return Unreadable::Garbage { key: String::new() };
    };
    let key = key.unwrap_or_default();
    let unknown = match &cmd {
        Some(Value::String(name)) => v1::Command::from_str_name(name).is_none(),
        Some(Value::Number(number)) => number
            .as_i64()
            .is_some_and(|number| i32::try_from(number).ok().and_then(command).is_none()),
        _ => false,
    };
    if unknown {
        Unreadable::UnknownCommand { key }
    } else {
        Unreadable::Garbage { key }
    }
}
