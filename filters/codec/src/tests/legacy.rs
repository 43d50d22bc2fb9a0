//! Clients of older gateways: JSON in binary frames, with commands under longer names.

use serde_json::{Value, json};

use super::*;

const CONFIG: &str = "{ format: legacy_json }";

fn text(frame: &Message) -> Value {
    assert!(!frame.text, "they read binary frames only");
    serde_json::from_slice(&frame.body).unwrap()
}

fn frame(json: &Value) -> Bytes {
    json.to_string().into()
}

#[tokio::test(start_paused = true)]
async fn a_client_of_an_older_gateway_is_understood_and_answered_in_its_words() {
    let kit = kit(CONFIG);
    let mut link = open(&kit, Form::Protobuf);
    let beat = json!({ "cmd": "COMMAND_TYPE_HEARTBEAT", "key": "h" });
    link.frame(frame(&beat), false);
    let [back] = link.received().try_into().unwrap();
    assert_eq!(text(&back), beat);

    let message = json!({ "cmd": "COMMAND_TYPE_UPSTREAM_MESSAGE", "key": "k", "body": "aGVsbG8=" });
    link.frame(frame(&message), false);
    let [m] = kit.taken().try_into().unwrap();
    assert_eq!(m.command, Some(Command::UpstreamMessage));
    assert_eq!((m.key.as_str(), &*m.body), ("k", &b"hello"[..]));
    m.settle(Outcome::accepted(""));

    link.push("p", "news");
    let [push] = link.received().try_into().unwrap();
    let expected =
        json!({ "cmd": "COMMAND_TYPE_DOWNSTREAM_MESSAGE", "key": "p", "body": "bmV3cw==" });
    assert_eq!(text(&push), expected);
}

#[tokio::test(start_paused = true)]
async fn short_names_numbers_and_text_frames_are_understood_too() {
    for cmd in [json!("UPSTREAM_MESSAGE"), json!(2)] {
        for is_text in [false, true] {
            let kit = kit(CONFIG);
            let mut link = open(&kit, Form::Json);
            link.frame(frame(&json!({ "cmd": cmd, "key": "k" })), is_text);
            let [m] = kit.taken().try_into().unwrap();
            assert_eq!(m.key, "k");
            m.settle(Outcome::accepted(""));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_refused_without_a_fault_that_they_do_not_know() {
    for (wrong, key, close) in [
        (
            json!({ "cmd": "COMMAND_TYPE_SHOUT", "key": "k" }),
            "k",
            None,
        ),
        (
            json!({ "cmd": "COMMAND_TYPE_UPSTREAM_MESSAGE", "key": "k", "body": 7 }),
            "k",
            Some(CloseCode::GARBAGE),
        ),
        (json!([]), "", Some(CloseCode::GARBAGE)),
    ] {
        let kit = kit(CONFIG);
        let mut link = open(&kit, Form::Json);
        link.frame(frame(&wrong), false);
        let [nack] = link.received().try_into().unwrap();
        let mut expected = json!({ "cmd": "COMMAND_TYPE_UPSTREAM_NACK" });
        if !key.is_empty() {
            expected["key"] = key.into();
        }
        assert_eq!(text(&nack), expected, "{wrong}");
        assert_eq!(link.close_wanted(), close, "{wrong}");
    }
}
