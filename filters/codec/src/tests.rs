//! What a client sees of the codec, and what the filters behind it see.

mod legacy;
mod property;
mod refusals;

use std::time::Duration;

use bytes::Bytes;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{
    CloseCode, Command, Fault, Form, Identity, Message, Nacks, Outcome, Registry,
};
use linkgate_proto::v1;
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
async fn null_is_as_good_as_nothing() {
    let kit = kit("{}");
    let mut link = open(&kit, Form::Json);
    let frame = br#"{"cmd":"UPSTREAM_MESSAGE","key":"k","body":null,"fault":null}"#;
    link.frame(Bytes::from_static(frame), true);
    let [m] = kit.taken().try_into().unwrap();
    assert_eq!((m.key.as_str(), m.body.len()), ("k", 0));
    m.settle(Outcome::accepted(""));
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
