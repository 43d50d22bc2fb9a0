//! What a client sees of the codec, and what the filters behind it see.

use std::time::Duration;

use bytes::Bytes;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{
    CloseCode, Command, Fault, Form, Identity, Message, Nacks, Outcome, Registry,
};
use linkgate_proto::v1;
use proptest::prelude::*;
use prost::Message as _;

use super::wire::{Decoded, decode, encode};
use super::{Codec, Config};

const FORMS: [Form; 2] = [Form::Protobuf, Form::Json];

fn kit(config: &str) -> Testkit {
    let entries = format!("[{{ use: codec, config: {config} }}, {{ use: test_end }}]");
    Testkit::new(Registry::new().with::<Codec>(), &entries)
}

fn open(kit: &Testkit, form: Form) -> TestLink {
    let identity = Identity::new(Testkit::BIZ_ID, "alice");
    kit.open(identity, |mut info| {
        info.form = form;
        info
    })
}

fn wire(form: Form, message: &v1::Message) -> Bytes {
    match form {
        Form::Protobuf => message.encode_to_vec().into(),
        Form::Json => serde_json::to_vec(message).unwrap().into(),
    }
}

fn read(form: Form, frame: &Message) -> v1::Message {
    assert_eq!(frame.command, None, "a frame leaves the codec");
    assert_eq!(frame.text, form == Form::Json);
    match form {
        Form::Protobuf => v1::Message::decode(frame.body.clone()).unwrap(),
        Form::Json => serde_json::from_slice(&frame.body).unwrap(),
    }
}

fn sent(cmd: v1::Command, key: &str, body: &str) -> v1::Message {
    v1::Message {
        cmd: cmd.into(),
        key: key.into(),
        body: body.to_owned().into(),
        fault: None,
    }
}

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
async fn a_message_goes_through_in_either_form() {
    for form in FORMS {
        let kit = kit("{}");
        let mut link = open(&kit, form);
        let message = sent(v1::Command::UpstreamMessage, "k", "hello");
        link.frame(wire(form, &message), form == Form::Json);
        let [m] = kit.taken().try_into().unwrap();
        assert_eq!(m.command, Some(Command::UpstreamMessage));
        assert_eq!((m.key.as_str(), &*m.body), ("k", &b"hello"[..]));
        m.settle(Outcome::accepted(""));

        link.push("p", "news");
        let [push] = link.received().try_into().unwrap();
        let expected = sent(v1::Command::DownstreamMessage, "p", "news");
        assert_eq!(read(form, &push), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_protobuf_body_is_a_slice_of_its_frame() {
    let kit = kit("{}");
    let mut link = open(&kit, Form::Protobuf);
    let frame = wire(
        Form::Protobuf,
        &sent(v1::Command::UpstreamMessage, "k", "hello"),
    );
    link.frame(frame.clone(), false);
    let [m] = kit.taken().try_into().unwrap();
    assert!(frame.as_ptr_range().contains(&m.body.as_ptr()));
    m.settle(Outcome::accepted(""));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_back_and_goes_no_further() {
    for form in FORMS {
        let kit = kit("{}");
        let mut link = open(&kit, form);
        for heartbeat in [
            sent(v1::Command::Heartbeat, "", ""),
            sent(v1::Command::Heartbeat, "h-7", "t=1"),
        ] {
            link.frame(wire(form, &heartbeat), form == Form::Json);
            let [echo] = link.received().try_into().unwrap();
            assert_eq!(read(form, &echo), heartbeat);
        }
        assert!(kit.taken().is_empty());
    }
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
    let cases: [(Form, &[u8]); 4] = [
        (Form::Protobuf, b"\x08\x63\x12\x01k"),
        (Form::Json, br#"{"cmd":"SING","key":"k"}"#),
        (Form::Json, br#"{"key":"k","cmd":99}"#),
        (Form::Json, br#"{"key":"k"}"#),
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

#[tokio::test(start_paused = true)]
async fn a_fixed_format_overrides_what_was_negotiated() {
    for (config, form) in [
        ("{ format: protobuf }", Form::Protobuf),
        ("{ format: json }", Form::Json),
    ] {
        for negotiated in FORMS {
            let kit = kit(config);
            let mut link = open(&kit, negotiated);
            link.push("p", "news");
            let [push] = link.received().try_into().unwrap();
            assert_eq!(read(form, &push).key, "p");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_link_keeps_its_form_when_the_config_changes() {
    let kit = kit("{ format: json }");
    let mut link = open(&kit, Form::Protobuf);
    let changed = kit.pipeline("[{ use: codec, config: { format: protobuf } }, { use: test_end }]");
    link.change(&changed, Duration::from_secs(1));
    link.push("p", "news");
    let [push] = link.received().try_into().unwrap();
    assert_eq!(read(Form::Json, &push).key, "p");
}

#[tokio::test(start_paused = true)]
async fn older_clients_get_for_a_nack_what_they_know() {
    for (nacks, expected) in [
        (Nacks::Sent, Some(v1::Command::UpstreamNack)),
        (Nacks::Silent, None),
        (
            Nacks::AsRateLimitExceeded,
            Some(v1::Command::RateLimitExceeded),
        ),
    ] {
        let kit = kit("{}");
        let identity = Identity::new(Testkit::BIZ_ID, "alice");
        let mut link = kit.open(identity, |mut info| {
            info.nacks = nacks;
            info
        });
        let long = sent(v1::Command::UpstreamMessage, &"k".repeat(200), "");
        link.frame(wire(Form::Protobuf, &long), false);
        let received = link.received();
        let seen: Vec<_> = received.iter().map(|m| read(Form::Protobuf, m)).collect();
        let commands: Vec<_> = seen.iter().map(v1::Message::cmd).collect();
        assert_eq!(commands, Vec::from_iter(expected), "{nacks:?}");
        assert!(seen.iter().all(|m| m.key == long.key));
    }
}

#[test]
fn a_fault_is_told_whole() {
    let fault = Fault::backend("backend.timeout")
        .retry_after(Duration::from_micros(1500))
        .effect_unknown()
        .detail("no answer within 3s");
    for form in FORMS {
        let frame = encode(
            form,
            Command::UpstreamNack,
            "k".into(),
            Bytes::new(),
            Some(&fault),
        );
        let told: v1::Message = match form {
            Form::Protobuf => v1::Message::decode(frame).unwrap(),
            Form::Json => serde_json::from_slice(&frame).unwrap(),
        };
        let told = told.fault.unwrap();
        assert_eq!(told.code, "backend.timeout");
        assert_eq!(told.source(), v1::fault::Source::Backend);
        assert_eq!(told.effect(), v1::fault::Effect::Unknown);
        assert!(told.retryable);
        assert_eq!(told.retry_after_ms, 2, "rounded up");
        assert_eq!(told.detail, "no answer within 3s");
    }
}

#[test]
fn the_config_says_all_that_is_wrong() {
    let config: Config = serde_json::from_str(r#"{"max_key":"1MiB","max_body":0}"#).unwrap();
    let problems = config.check().to_string();
    assert!(problems.contains("max_key"), "{problems}");
    assert!(problems.contains("max_body"), "{problems}");
    assert!(serde_json::from_str::<Config>(r#"{"max_keys":"1B"}"#).is_err());
    assert!(Config::default().check().is_empty());
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::UpstreamMessage),
        Just(Command::UpstreamAck),
        Just(Command::DownstreamMessage),
        Just(Command::DownstreamAck),
        Just(Command::Redirect),
    ]
}

fn any_form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Protobuf), Just(Form::Json)]
}

fn any_body() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

/// Whatever a client sends, one thing comes of it.
fn one_thing_comes_of(form: Form, frame: Bytes, text: bool) -> Result<(), TestCaseError> {
    let kit = kit("{}");
    let mut link = open(&kit, form);
    link.frame(frame, text);
    let taken = kit.taken();
    let back = link.received();
    // An acknowledgement goes through, and ends where nobody waits for it.
    let unclaimed: u64 = kit.own().meter().faults().iter().map(|(_, n)| n).sum();
    prop_assert_eq!(taken.len() + back.len() + unclaimed as usize, 1);
    for m in taken {
        prop_assert!(!m.key.is_empty());
        m.settle(Outcome::accepted(""));
    }
    for m in &back {
        let answer = read(form, m);
        let known = [v1::Command::UpstreamNack, v1::Command::Heartbeat];
        prop_assert!(known.contains(&answer.cmd()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        form in any_form(), command in any_command(), key in ".{0,40}", body in any_body(),
    ) {
        let frame = encode(form, command, key.clone(), body.clone(), None);
        prop_assert_eq!(decode(form, &frame), Ok(Decoded { command, key, body }));
    }

    #[test]
    fn any_bytes_come_to_something(form in any_form(), text: bool, frame in any_body()) {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        clock.unwrap().block_on(async { one_thing_comes_of(form, frame, text) })?;
    }

    #[test]
    fn a_damaged_frame_comes_to_something(
        form in any_form(), key in "[a-z]{1,9}", body in any_body(),
        cut in any::<prop::sample::Index>(), flips in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let mut frame = encode(form, Command::UpstreamMessage, key, body, None).to_vec();
        for (at, value) in flips {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(cut.index(frame.len() + 1));
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        clock.unwrap().block_on(async { one_thing_comes_of(form, frame.into(), form == Form::Json) })?;
    }
}
