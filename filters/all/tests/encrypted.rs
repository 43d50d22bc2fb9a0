//! `decrypt` among the filters that it works with: in either place, with retransmissions, and where it is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::sync::Arc;
use std::time::Duration;

use linkgate_decrypt::{Cipher, Config, Opened, Part, Place, Ring};
use linkgate_filter::runner::{Declared, Plan};
use linkgate_filter::testkit::{TestLink, Testkit, parse};
use linkgate_filter::{Bytes, CloseCode, Direction, Form, Identity, LinkInfo, Message, Outcome};
use linkgate_proto::v1::{self, Command};
use prost::Message as _;

const KEYS: &str =
    "keys: [{ id: k, key: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f }]";

fn decrypt() -> String {
    format!("{{ use: decrypt, config: {{ {KEYS} }} }}")
}

/// The client's end of the link.
fn client() -> Cipher {
    let config: Config = serde_yaml::from_str(&format!("{{ {KEYS} }}")).unwrap();
    let identity = Identity::new(Testkit::BIZ_ID, "alice");
    Cipher::new(Arc::new(Ring::of(&config).unwrap()), identity)
}

fn place(direction: Direction, part: Part, key: &str) -> Place<'_> {
    Place {
        direction,
        part,
        key,
    }
}

fn open(cipher: &mut Cipher, part: Part, key: &str, sealed: &[u8]) -> Vec<u8> {
    let opened = cipher.open(place(Direction::Downstream, part, key), sealed);
    let Opened { clear, .. } = opened.unwrap_or_else(|why| panic!("{key}: {why:?}"));
    clear
}

fn seal(cipher: &mut Cipher, part: Part, key: &str, clear: &[u8]) -> Vec<u8> {
    cipher
        .seal(place(Direction::Upstream, part, key), clear)
        .unwrap()
}

fn link(kit: &Testkit, form: Form) -> TestLink {
    let identity = Identity::new(Testkit::BIZ_ID, "alice");
    kit.open(identity, |info: LinkInfo| info.with_form(form))
}

fn write(form: Form, cmd: Command, key: &str, body: Vec<u8>) -> Bytes {
    let message = v1::Message {
        cmd: cmd.into(),
        key: key.into(),
        body: body.into(),
        fault: None,
    };
    match form {
        Form::Protobuf => message.encode_to_vec().into(),
        Form::Json => serde_json::to_vec(&message).unwrap().into(),
    }
}

fn read(form: Form, frame: &[u8]) -> v1::Message {
    match form {
        Form::Protobuf => v1::Message::decode(frame).unwrap(),
        Form::Json => serde_json::from_slice(frame).unwrap(),
    }
}

fn received(link: &mut TestLink) -> Message {
    let [m] = link.received().try_into().expect("one frame");
    m
}

fn after_codec() -> Testkit {
    let ack = "{ use: ack_retry, config: { retry: { initial: 10s, jitter: 0 } } }";
    let entries = format!(
        "[{{ use: codec }}, {}, {ack}, {{ use: test_end }}]",
        decrypt()
    );
    Testkit::new(linkgate_filters::all(), &entries)
}

#[tokio::test(start_paused = true)]
async fn after_the_codec_bodies_are_sealed_in_both_forms() {
    for form in [Form::Protobuf, Form::Json] {
        let (kit, mut client) = (after_codec(), client());
        let mut link = link(&kit, form);
        let body = seal(&mut client, Part::Message, "m-1", b"hello");
        link.frame(
            write(form, Command::UpstreamMessage, "m-1", body),
            form == Form::Json,
        );
        let [m] = kit.taken().try_into().unwrap();
        assert_eq!(m.body, "hello");
        m.settle(Outcome::accepted("hi"));
        link.run().await;
        let ack = read(form, &received(&mut link).body);
        assert_eq!((ack.cmd(), ack.key.as_str()), (Command::UpstreamAck, "m-1"));
        assert_eq!(open(&mut client, Part::Answer, "m-1", &ack.body), b"hi");

        // Heartbeats have no body of the business, and come back as they are.
        let heartbeat = write(form, Command::Heartbeat, "h", b"t=1".to_vec());
        link.frame(heartbeat.clone(), form == Form::Json);
        assert_eq!(received(&mut link).body, heartbeat);
    }
}

#[tokio::test(start_paused = true)]
async fn each_transmission_of_a_push_is_sealed_once_and_anew() {
    let (kit, mut client) = (after_codec(), client());
    let mut link = link(&kit, Form::Protobuf);
    let pushed = link.push("p-1", "news");
    let mut transmissions = Vec::new();
    for _ in 0..3 {
        link.run().await;
        let push = read(Form::Protobuf, &link.next().await.body);
        assert_eq!(push.cmd(), Command::DownstreamMessage);
        assert_eq!(
            open(&mut client, Part::Message, "p-1", &push.body),
            b"news",
            "sealed once, from the clear body"
        );
        transmissions.push(push.body);
    }
    transmissions.sort();
    transmissions.dedup();
    assert_eq!(transmissions.len(), 3, "no nonce is used twice");
    let ack = write(Form::Protobuf, Command::DownstreamAck, "p-1", Vec::new());
    link.frame(ack, false);
    assert_eq!(pushed.outcome(), Some(Outcome::accepted("")));
}

#[tokio::test(start_paused = true)]
async fn before_the_codec_whole_frames_are_sealed_in_both_forms() {
    let base64 = |bytes: &[u8]| {
        let message = write(Form::Json, Command::Heartbeat, "", bytes.to_vec());
        let json: serde_json::Value = serde_json::from_slice(&message).unwrap();
        json["body"].as_str().unwrap().to_owned()
    };
    for form in [Form::Protobuf, Form::Json] {
        let entries = format!(
            "[{}, {{ use: codec }}, {{ use: ack_retry }}, {{ use: test_end }}]",
            decrypt()
        );
        let kit = Testkit::new(linkgate_filters::all(), &entries);
        let mut client = client();
        let mut link = link(&kit, form);
        let frame = write(form, Command::UpstreamMessage, "m-1", b"hello".to_vec());
        let sealed = seal(&mut client, Part::Frame, "", &frame);
        match form {
            Form::Protobuf => link.frame(sealed, false),
            Form::Json => link.frame(base64(&sealed), true),
        }
        let [m] = kit.taken().try_into().unwrap();
        assert_eq!((m.key.as_str(), &m.body[..]), ("m-1", &b"hello"[..]));
        m.settle(Outcome::accepted("hi"));
        link.run().await;
        let m = received(&mut link);
        assert_eq!(m.text, form == Form::Json);
        // What JSON says of bytes is base64, so the codec's own reading of it serves here.
        let sealed = match form {
            Form::Protobuf => m.body,
            Form::Json => {
                let text = std::str::from_utf8(&m.body).unwrap();
                read(form, format!("{{\"body\":\"{text}\"}}").as_bytes()).body
            }
        };
        let ack = read(form, &open(&mut client, Part::Frame, "", &sealed));
        assert_eq!(
            (ack.cmd(), &ack.body[..]),
            (Command::UpstreamAck, &b"hi"[..])
        );

        // There is no key to answer to.
        link.frame("in clear", form == Form::Json);
        assert!(link.received().is_empty());
        assert_eq!(link.close_wanted(), Some(CloseCode::GARBAGE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_open_is_answered_through_the_codec() {
    let kit = after_codec();
    let mut link = link(&kit, Form::Json);
    let clear = write(
        Form::Json,
        Command::UpstreamMessage,
        "m-1",
        b"in clear".to_vec(),
    );
    link.frame(clear, true);
    let nack = read(Form::Json, &received(&mut link).body);
    assert_eq!(
        (nack.cmd(), nack.key.as_str()),
        (Command::UpstreamNack, "m-1")
    );
    let fault = nack.fault.unwrap();
    assert_eq!(fault.code, linkgate_decrypt::REFUSED);
    assert!(!fault.retryable);
}

#[tokio::test(start_paused = true)]
async fn keys_rotate_under_traffic() {
    const OLD: &str =
        "{ id: old, key: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f }";
    const NEW: &str =
        "{ id: new, key: 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f }";
    let entries = |config: &str| {
        format!(
            "[{{ use: codec }}, {{ use: decrypt, config: {{ {config} }} }}, {{ use: ack_retry }}, {{ use: test_end }}]"
        )
    };
    let end = |config: &str| {
        let config: Config = serde_yaml::from_str(&format!("{{ {config} }}")).unwrap();
        let identity = Identity::new(Testkit::BIZ_ID, "alice");
        Cipher::new(Arc::new(Ring::of(&config).unwrap()), identity)
    };
    let both = |active: &str| format!("keys: [{OLD}, {NEW}], active: {active}");
    // What the gateway is told, and by what the client seals meanwhile.
    let steps = [
        (format!("keys: [{OLD}]"), "old"),
        (both("old"), "old"),
        (both("new"), "old"),
        (both("new"), "new"),
        (format!("keys: [{NEW}]"), "new"),
    ];
    let kit = Testkit::new(linkgate_filters::all(), &entries(&steps[0].0));
    let mut link = link(&kit, Form::Protobuf);
    let (mut sent, mut unsettled, mut answered, mut pushed) = (0, Vec::new(), Vec::new(), 0);
    for (config, seals) in &steps {
        link.change(&kit.pipeline(&entries(config)), Duration::from_secs(60));
        let mut client = end(&both(seals));
        for _ in 0..20 {
            let key = format!("m-{sent:03}");
            let body = seal(&mut client, Part::Message, &key, key.as_bytes());
            link.frame(
                write(Form::Protobuf, Command::UpstreamMessage, &key, body),
                false,
            );
            link.push(&format!("p-{sent:03}"), "news");
            link.run().await;
            sent += 1;
            // The last few stay unsettled, so that each change finds some.
            unsettled.extend(kit.taken());
            while unsettled.len() > 5 {
                let m = unsettled.remove(0);
                assert_eq!(m.body, m.key, "opened");
                let answer = m.body.clone();
                m.settle(Outcome::accepted(answer));
            }
        }
        take(&mut link, &mut client, &mut answered, &mut pushed);
    }
    for m in unsettled {
        let answer = m.body.clone();
        m.settle(Outcome::accepted(answer));
    }
    for _ in 0..3 {
        link.run().await;
        for m in kit.taken() {
            let answer = m.body.clone();
            m.settle(Outcome::accepted(answer));
        }
    }
    link.run().await;
    take(
        &mut link,
        &mut end(&both("new")),
        &mut answered,
        &mut pushed,
    );
    answered.sort();
    let all: Vec<_> = (0..sent).map(|n| format!("m-{n:03}")).collect();
    assert_eq!(
        answered, all,
        "each message has one answer, an ACK that opens"
    );
    assert!(pushed >= sent, "{pushed} of {sent} pushes");
}

/// Opens all that has come for the client.
fn take(link: &mut TestLink, client: &mut Cipher, answered: &mut Vec<String>, pushed: &mut usize) {
    for frame in link.received() {
        let m = read(Form::Protobuf, &frame.body);
        match m.cmd() {
            Command::UpstreamAck => {
                let answer = open(client, Part::Answer, &m.key, &m.body);
                assert_eq!(answer, m.key.as_bytes());
                answered.push(m.key);
            }
            Command::DownstreamMessage => {
                assert_eq!(open(client, Part::Message, &m.key, &m.body), b"news");
                *pushed += 1;
                let ack = write(Form::Protobuf, Command::DownstreamAck, &m.key, Vec::new());
                link.frame(ack, false);
            }
            other => panic!("{other:?}: {m:?}"),
        }
    }
}

#[test]
fn where_it_cannot_work_it_is_refused() {
    let problems = |entries: &str| {
        let entries = parse(entries);
        let plan = Plan::prepare(
            &linkgate_filters::all(),
            "chat",
            &entries,
            &Declared::default(),
        );
        let said = plan.err().unwrap_or_default();
        said.iter()
            .map(|found| found.problem.to_string())
            .collect::<Vec<_>>()
    };
    let decrypt = decrypt();
    let second = decrypt.replace("{ use", "{ id: second, use");
    let good = [
        format!("[{{ use: codec }}, {decrypt}, {{ use: ack_retry }}, {{ use: echo }}]"),
        format!("[{decrypt}, {{ use: codec }}, {{ use: ack_retry }}, {{ use: echo }}]"),
        format!("[{decrypt}, {{ use: codec }}, {second}, {{ use: ack_retry }}, {{ use: echo }}]"),
        "[{ use: codec }, { use: ack_retry }, { use: echo }]".to_owned(),
    ];
    for entries in good {
        assert_eq!(problems(&entries), [""; 0], "{entries}");
    }
    let bad = [
        (
            format!("[{{ use: codec }}, {{ use: ack_retry }}, {decrypt}, {{ use: echo }}]"),
            "use: `ack_retry` needs clear bodies (put `decrypt` before it)",
        ),
        (
            format!(
                "[{decrypt}, {{ use: codec }}, {{ use: ack_retry }}, {second}, {{ use: echo }}]"
            ),
            "use: `ack_retry` needs clear bodies (put `second` before it)",
        ),
    ];
    for (entries, said) in bad {
        assert_eq!(problems(&entries), [said], "{entries}");
    }
}
