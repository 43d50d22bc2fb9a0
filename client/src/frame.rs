//! Messages as frames and back, in both forms of the protocol.

use linkgate_filter::Form;
use linkgate_proto::v1::{Command, Message, fault};
use linkgate_proto::{SUBPROTOCOL_JSON, SUBPROTOCOL_PROTO};
use prost::Message as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_tungstenite::tungstenite;

/// A frame that is no message of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// A binary frame that does not decode.
    #[error("a binary frame that is no protobuf message: {0}")]
    Proto(#[from] prost::DecodeError),
    /// A text frame that does not parse.
    #[error("a text frame that is no JSON message: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither text nor binary.
    #[error("a frame that is neither text nor binary")]
    Kind,
}

/// The WebSocket subprotocol that asks for a form.
pub fn subprotocol(form: Form) -> &'static str {
    match form {
        Form::Protobuf => SUBPROTOCOL_PROTO,
        Form::Json => SUBPROTOCOL_JSON,
    }
}

/// The frame that carries `message`.
pub fn encode(form: Form, message: &Message) -> tungstenite::Message {
    match form {
        Form::Protobuf => tungstenite::Message::Binary(message.encode_to_vec().into()),
        // The mapping has no value that JSON cannot hold, so an error cannot come up.
        Form::Json => {
            tungstenite::Message::Text(serde_json::to_string(message).unwrap_or_default().into())
        }
    }
}

/// The message in a data frame of either form: a client that reads both finds out sooner that the forms differ.
pub fn decode(frame: tungstenite::Message) -> Result<Message, BadFrame> {
    match frame {
        tungstenite::Message::Binary(data) => Ok(Message::decode(data)?),
        tungstenite::Message::Text(text) => linkgate_proto::from_json(text.as_bytes())
            .or_else(|error| of_a_later_version(text.as_bytes()).ok_or(error))
            .map_err(BadFrame::Json),
        _ => Err(BadFrame::Kind),
    }
}

/// A JSON message that says something by names that only later versions know: the rest of it, as protobuf would have it.
fn of_a_later_version(text: &[u8]) -> Option<Message> {
    let mut message: Value = serde_json::from_slice(text).ok()?;
    forget_unknown::<Command>(message.get_mut("cmd"));
    if let Some(fault) = message.get_mut("fault") {
        forget_unknown::<fault::Source>(fault.get_mut("source"));
        forget_unknown::<fault::Effect>(fault.get_mut("effect"));
    }
    linkgate_proto::from_json(message.to_string().as_bytes()).ok()
}

fn forget_unknown<E: DeserializeOwned>(value: Option<&mut Value>) {
    if let Some(value) = value.filter(|value| E::deserialize(&**value).is_err()) {
        *value = Value::Null;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use linkgate_proto::v1::{Command, Fault};

    use super::*;

    #[test]
    fn both_forms_carry_a_message_there_and_back() {
        let message = Message {
            cmd: Command::UpstreamNack.into(),
            key: "m-1".into(),
            body: Bytes::from_static(b"\x00\xff"),
            fault: Some(Fault {
                code: "rate_limit.exceeded".into(),
                retryable: true,
                retry_after_ms: 250,
                ..Fault::default()
            }),
        };
        for form in [Form::Protobuf, Form::Json] {
            let frame = encode(form, &message);
            assert_eq!(frame.is_binary(), form == Form::Protobuf);
            assert_eq!(decode(frame).unwrap(), message);
        }
    }

    #[test]
    fn names_of_later_versions_are_skipped_and_the_rest_is_read() {
        let text = r#"{"cmd":"UPSTREAM_NACK","key":"m-1","fault":{"source":"NETWORK","retryable":true,"effect":9}}"#;
        let message = decode(tungstenite::Message::Text(text.into())).unwrap();
        assert_eq!(message.cmd(), Command::UpstreamNack);
        assert!(message.fault.is_some_and(|fault| fault.retryable));
        let later = decode(tungstenite::Message::Text(r#"{"cmd":"TELEPORT"}"#.into()));
        assert_eq!(later.unwrap().cmd(), Command::Unspecified);
    }

    #[test]
    fn garbage_is_told_from_messages() {
        let bad = |frame| decode(frame).unwrap_err().to_string();
        assert!(bad(tungstenite::Message::Text("{".into())).contains("no JSON message"));
        assert!(
            bad(tungstenite::Message::Binary(Bytes::from_static(b"\xff")))
                .contains("no protobuf message")
        );
    }
}
