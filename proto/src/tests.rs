//! Golden bytes and golden JSON: what clients in the field send and expect.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;

use super::v1::fault::{Effect, Source};
use super::v1::{Command, Fault, Message, PushRequest, Redirect};
use super::{FILE_DESCRIPTOR_SET, from_json};

fn message(cmd: Command, key: &str, body: &'static [u8]) -> Message {
    Message {
        cmd: cmd.into(),
        key: key.into(),
        body: Bytes::from_static(body),
        fault: None,
    }
}

fn nack() -> Message {
    Message {
        fault: Some(Fault {
            code: "backend.timeout".into(),
            source: Source::Backend.into(),
            retryable: true,
            retry_after_ms: 300,
            effect: Effect::Unknown.into(),
            detail: String::new(),
        }),
        ..message(Command::UpstreamNack, "k", b"")
    }
}

#[test]
fn command_numbers_are_fixed() {
    let numbers = [
        ("HEARTBEAT", 1),
        ("UPSTREAM_MESSAGE", 2),
        ("UPSTREAM_ACK", 3),
        ("DOWNSTREAM_MESSAGE", 4),
        ("DOWNSTREAM_ACK", 5),
        ("REDIRECT", 6),
        ("RATE_LIMIT_EXCEEDED", 7),
        ("UPSTREAM_NACK", 8),
    ];
    for (name, number) in numbers {
        assert_eq!(
            Command::from_str_name(name).map(i32::from),
            Some(number),
            "{name}"
        );
    }
}

#[test]
fn wire_bytes_are_fixed() {
    let cases: [(Message, &[u8]); 4] = [
        (message(Command::Heartbeat, "", b""), b"\x08\x01"),
        (
            message(Command::UpstreamMessage, "m-1", b"hi"),
            b"\x08\x02\x12\x03m-1\x1a\x02hi",
        ),
        (
            message(Command::DownstreamAck, "p", b""),
            b"\x08\x05\x12\x01p",
        ),
        (
            nack(),
            b"\x08\x08\x12\x01k\x22\x1a\x0a\x0fbackend.timeout\x10\x02\x18\x01\x20\xac\x02\x28\x02",
        ),
    ];
    for (message, bytes) in cases {
        assert_eq!(message.encode_to_vec(), bytes, "{message:?}");
        assert_eq!(Message::decode(bytes).unwrap(), message);
    }
}

#[test]
fn unknown_fields_and_commands_survive_decoding() {
    // Field 9 is not ours, command 99 neither: the reader sees the rest.
    let decoded = Message::decode(&b"\x08\x63\x12\x01k\x4a\x01x"[..]).unwrap();
    assert_eq!((decoded.cmd, decoded.key.as_str()), (99, "k"));
    assert_eq!(Command::try_from(decoded.cmd).ok(), None);
}

#[test]
fn a_body_is_a_slice_of_its_frame() {
    let frame = Bytes::from_static(b"\x08\x02\x12\x03m-1\x1a\x02hi");
    let decoded = Message::decode(frame.clone()).unwrap();
    assert_eq!(decoded.body.as_ptr(), frame[9..].as_ptr());
}

#[test]
fn json_is_written_plainly() {
    let sent = message(Command::UpstreamMessage, "m-1", b"\xfb\xff\xfe");
    assert_eq!(
        serde_json::to_string(&sent).unwrap(),
        r#"{"cmd":"UPSTREAM_MESSAGE","key":"m-1","body":"+//+"}"#
    );
    assert_eq!(
        serde_json::to_value(nack()).unwrap(),
        json!({
            "cmd": "UPSTREAM_NACK",
            "key": "k",
            "fault": {
                "code": "backend.timeout",
                "source": "BACKEND",
                "retryable": true,
                "retryAfterMs": 300,
                "effect": "UNKNOWN",
            },
        })
    );
}

#[test]
fn json_is_read_generously() {
    let expected = message(Command::UpstreamMessage, "m-1", b"\xfb\xff\xfe\x00");
    let same = [
        r#"{"cmd":"UPSTREAM_MESSAGE","key":"m-1","body":"+//+AA=="}"#,
        r#"{"cmd":2,"key":"m-1","body":"+//+AA"}"#,
        r#"{"key":"m-1","body":"-__-AA","cmd":"UPSTREAM_MESSAGE"}"#,
        r#"{"cmd":2,"key":"m-1","body":"-__-AA==","fault":null,"later":{"more":[1]}}"#,
        r#"{"cmd":2,"key":"\u006d-1","body":"+\/\/+AA=="}"#,
    ];
    for text in same {
        assert_eq!(
            serde_json::from_str::<Message>(text).unwrap(),
            expected,
            "{text}"
        );
    }
    for names in ["retryAfterMs", "retry_after_ms"] {
        let fault: Fault = serde_json::from_value(json!({ names: 300 })).unwrap();
        assert_eq!(fault.retry_after_ms, 300);
    }
}

#[test]
fn null_is_a_default() {
    let read = |text: &str| from_json::<Message>(text.as_bytes()).unwrap();
    let heartbeat = message(Command::Heartbeat, "", b"");
    assert_eq!(
        read(r#"{"cmd":1,"key":null,"body":null,"fault":null,"later":null}"#),
        heartbeat
    );
    assert_eq!(
        read(r#"{"cmd":null,"key":"null"}"#),
        message(Command::Unspecified, "null", b"")
    );
    let inner =
        read(r#"{"cmd":8,"key":"k","body":"aGk=","fault":{"code":null,"retryAfterMs":"300"}}"#);
    assert_eq!(inner.body, "hi");
    assert_eq!(inner.fault.unwrap().retry_after_ms, 300);
    let push: PushRequest = from_json(br#"{"key":"p","receiverIds":null,"ack":null}"#).unwrap();
    assert_eq!((push.key.as_str(), push.ack), ("p", None));
}

#[test]
fn wrong_json_is_refused() {
    let wrong = [
        "",
        "[]",
        "\"HEARTBEAT\"",
        r#"{"cmd":"SING"}"#,
        r#"{"cmd":99}"#,
        r#"{"cmd":1,"cmd":1}"#,
        r#"{"cmd":2,"key":7}"#,
        r#"{"cmd":2,"body":"a b"}"#,
        r#"{"cmd":2,"body":[1]}"#,
        r#"{"cmd":1}{}"#,
        "null",
        "[null]",
        r#"{"cmd":1,"key":null}{}"#,
        r#"{"cmd":1,"cmd":1,"key":null}"#,
        r#"{"cmd":2,"body":[null]}"#,
        r#"{"cmd":1,"key":nul}"#,
    ];
    for text in wrong {
        assert!(from_json::<Message>(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_push_asks_for_an_acknowledgement_unless_it_says_otherwise() {
    let silent: PushRequest = serde_json::from_str(
        r#"{"key":"p","biz_id":"chat","receiverIds":["1"],"expiresAt":1764000000000}"#,
    )
    .unwrap();
    assert_eq!(silent.ack, None);
    assert_eq!(silent.expires_at, Some(1_764_000_000_000));
    let said: PushRequest = serde_json::from_str(r#"{"ack":false}"#).unwrap();
    assert_eq!(said.ack, Some(false));
}

#[test]
fn a_redirect_is_json() {
    let redirect = Redirect {
        urls: vec!["wss://b.example/ws".into()],
        after_ms: 1500,
        reason: "drain".into(),
    };
    assert_eq!(
        serde_json::to_string(&redirect).unwrap(),
        r#"{"urls":["wss://b.example/ws"],"afterMs":1500,"reason":"drain"}"#
    );
}

#[test]
fn descriptors_name_every_service() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = set
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(|service| service.name().to_owned()))
        .collect();
    assert_eq!(
        services,
        [
            "BackendService",
            "BatchBackendService",
            "PushService",
            "PushReportService",
            "PresenceService",
            "PeerService"
        ]
    );
}
