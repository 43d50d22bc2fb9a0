//! What the codec refuses, by which code, and whether the link is closed for it.

use super::*;

/// Sends one message and returns the fault of the NACK and the code of the close that follow.
fn refused(
    config: &str,
    form: Form,
    message: &v1::Message,
) -> (v1::Message, v1::Fault, Option<CloseCode>) {
    refused_frame(config, form, wire(form, message), form == Form::Json)
}

fn refused_frame(
    config: &str,
    form: Form,
    frame: Bytes,
    text: bool,
) -> (v1::Message, v1::Fault, Option<CloseCode>) {
    let kit = kit(config);
    let mut link = open(&kit, form);
    link.frame(frame, text);
    assert!(kit.taken().is_empty(), "a refused frame goes no further");
    let [nack] = link.received().try_into().unwrap();
    let nack = read(form, &nack);
    assert_eq!(nack.cmd(), v1::Command::UpstreamNack);
    let fault = nack.fault.clone().unwrap();
    assert_eq!(fault.source(), v1::fault::Source::Client);
    assert_eq!(fault.effect(), v1::fault::Effect::None);
    assert!(!fault.retryable);
    (nack, fault, link.close_wanted())
}

#[tokio::test(start_paused = true)]
async fn commands_that_are_not_a_clients_are_refused() {
    use v1::Command::{
        DownstreamMessage, RateLimitExceeded, Redirect, Unspecified, UpstreamAck, UpstreamNack,
    };
    for form in FORMS {
        for command in [
            Unspecified,
            UpstreamAck,
            DownstreamMessage,
            Redirect,
            RateLimitExceeded,
            UpstreamNack,
        ] {
            let (nack, fault, close) = refused("{}", form, &sent(command, "k", ""));
            assert_eq!(
                (nack.key.as_str(), fault.code.as_str(), close),
                ("k", "codec.unknown_command", None)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn commands_of_a_later_version_are_refused_by_their_key() {
    let cases: [(Form, &[u8]); 5] = [
        (Form::Protobuf, b"\x08\x63\x12\x01k"),
        (Form::Json, br#"{"cmd":"SING","key":"k"}"#),
        (Form::Json, br#"{"key":"k","cmd":99}"#),
        (Form::Json, br#"{"key":"k"}"#),
        (Form::Json, br#"{"cmd":null,"key":"k","body":null}"#),
    ];
    for (form, frame) in cases {
        let text = form == Form::Json;
        let (nack, fault, close) = refused_frame("{}", form, Bytes::from_static(frame), text);
        assert_eq!(
            (nack.key.as_str(), fault.code.as_str(), close),
            ("k", "codec.unknown_command", None)
        );
        let config = "{ on_unknown_command: close }";
        let (_, _, close) = refused_frame(config, form, Bytes::from_static(frame), text);
        assert_eq!(close, Some(CloseCode::GARBAGE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_is_refused() {
    for command in [v1::Command::UpstreamMessage, v1::Command::DownstreamAck] {
        let message = sent(command, "", "x");
        let (nack, fault, close) = refused("{}", Form::Json, &message);
        assert_eq!(
            (nack.key.as_str(), fault.code.as_str(), close),
            ("", "codec.missing_key", None)
        );
        let (_, _, close) = refused("{ on_missing_key: close }", Form::Json, &message);
        assert_eq!(close, Some(CloseCode::GARBAGE));
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_are_limited_to_the_byte() {
    let config = "{ max_key: 3B, max_body: 5B }";
    for form in FORMS {
        let kit = kit(config);
        let mut link = open(&kit, form);
        let fits = sent(v1::Command::UpstreamMessage, "key", "hello");
        link.frame(wire(form, &fits), form == Form::Json);
        let [m] = kit.taken().try_into().unwrap();
        m.settle(Outcome::accepted(""));

        let long_key = sent(v1::Command::DownstreamAck, "keys", "");
        let (nack, fault, close) = refused(config, form, &long_key);
        assert_eq!(
            (nack.key.as_str(), fault.code.as_str(), close),
            ("keys", "codec.key_too_long", None)
        );
        for command in [v1::Command::UpstreamMessage, v1::Command::Heartbeat] {
            let big_body = sent(command, "key", "hello!");
            let (nack, fault, _) = refused(config, form, &big_body);
            assert_eq!(
                (nack.key.as_str(), fault.code.as_str()),
                ("key", "codec.body_too_big")
            );
        }
        let strict = "{ max_body: 5B, on_oversize: close }";
        let big_body = sent(v1::Command::UpstreamMessage, "key", "hello!");
        let (_, _, close) = refused(strict, form, &big_body);
        assert_eq!(close, Some(CloseCode::TOO_BIG));
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused() {
    let cases: [(Form, &[u8], &str); 6] = [
        (Form::Protobuf, b"\x08", ""),
        (Form::Protobuf, b"\x12\x02\xff\xfe", ""),
        (Form::Json, b"", ""),
        (Form::Json, b"{\"cmd\":1", ""),
        (
            Form::Json,
            br#"{"cmd":2,"key":"k","body":"not base64!"}"#,
            "k",
        ),
        (Form::Json, br#"{"cmd":true,"key":"k"}"#, "k"),
    ];
    for (form, frame, key) in cases {
        let text = form == Form::Json;
        for (config, code) in [
            ("{}", Some(CloseCode::GARBAGE)),
            ("{ on_garbage: nack }", None),
        ] {
            let (nack, fault, close) = refused_frame(config, form, Bytes::from_static(frame), text);
            assert_eq!(
                (nack.key.as_str(), fault.code.as_str(), close),
                (key, "codec.garbage", code)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_wrong_kind_of_frame_is_refused() {
    for form in FORMS {
        let frame = wire(form, &sent(v1::Command::Heartbeat, "", ""));
        let wrong_kind = form != Form::Json;
        let (_, fault, close) = refused_frame("{}", form, frame.clone(), wrong_kind);
        assert_eq!(fault.code, "codec.wrong_form");
        assert_eq!(close, Some(CloseCode::UNSUPPORTED));
        let (_, _, close) = refused_frame("{ on_garbage: nack }", form, frame, wrong_kind);
        assert_eq!(close, None);
    }
}
