use std::sync::Arc;

use linkgate_filter::broker::Partition;

use super::*;

fn arrival(payload: impl Into<Bytes>) -> Arrival {
    Arrival {
        partition: Partition {
            topic: "pushes".into(),
            number: 3,
        },
        offset: 7,
        written: None,
        key: Bytes::new(),
        payload: payload.into(),
        headers: Vec::new(),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_123)
}

fn read(payload: impl Into<Bytes>) -> Result<Taken, String> {
    let taken = Taken::read(&arrival(payload), false, now());
    taken.map_err(|fault| fault.to_string())
}

#[test]
fn json_is_read_as_backends_write_it() {
    let taken = read(
        r#" {"key":"k","biz_id":"chat","receiver_id":42,"body":"aGk","expires_at":1767225600000,"trace":1}"#,
    )
    .unwrap();
    assert_eq!(taken.receivers, ["42"]);
    assert_eq!(taken.push.body, "hi");
    assert!(taken.push.ack);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_000);
    assert_eq!(taken.push.expires_at, Some(at));
    assert_eq!(&*taken.history.id, "pushes/3/7");
    let taken = read(
        r#"{"key":"k","bizId":"chat","receiverIds":["a",7],"body":"-_8=","ack":false,"deviceId":"d"}"#,
    )
    .unwrap();
    assert_eq!(taken.receivers, ["a", "7"]);
    assert_eq!(&taken.push.body[..], [0xfb, 0xff]);
    assert_eq!(taken.push.device_id, Some(Arc::from("d")));
    assert!(!taken.push.ack);
}

#[test]
fn records_of_older_gateways_are_read_in_both_forms() {
    let json = r#"{"key":"k1","biz_id":1,"receiver_id":1001,"body":"aGk="}"#;
    let numeric = r#"{"key":7,"biz_id":1,"receiver_id":1001,"body":"aGk="}"#;
    // `PushMessage { key: "k1", biz_id: 1, receiver_id: 1001, body: "hi" }`, by the tools of another program.
    let protobuf: &[u8] = b"\x0a\x02k1\x10\x01\x18\xe9\x07\x22\x02hi";
    // Its first field is a text of 10 bytes that begins like JSON.
    let braced: &[u8] = b"\n\n{1-2-3-45}\x10\x01\x18\xe9\x07\x22\x02hi";
    for (payload, key) in [
        (Bytes::from(json), "k1"),
        (numeric.into(), "7"),
        (protobuf.into(), "k1"),
        (braced.into(), "{1-2-3-45}"),
    ] {
        let taken = read(payload).unwrap();
        assert_eq!((&*taken.push.key, &*taken.push.biz_id), (key, "1"));
        assert_eq!(taken.receivers, ["1001"]);
        assert_eq!(taken.push.body, "hi");
        assert!(taken.push.ack);
    }
}

#[test]
fn null_is_as_good_as_nothing() {
    let taken = read(
        r#"{"key":"k","biz_id":"chat","receiver_id":null,"receiver_ids":["a"],"body":null,"device_id":null,
            "expires_at":null,"ack":null,"all":null}"#,
    )
    .unwrap();
    assert_eq!(taken.receivers, ["a"]);
    assert!(taken.push.body.is_empty() && taken.push.ack && !taken.push.all);
    assert_eq!((taken.push.device_id, taken.push.expires_at), (None, None));
}

#[test]
fn protobuf_is_read_even_if_it_begins_like_json() {
    // The first field is a text of 10 bytes: the bytes before it are line feeds.
    let request = v1::PushRequest {
        key: "{1-2-3-45}".into(),
        biz_id: "chat".into(),
        receiver_ids: vec!["a".into()],
        ..v1::PushRequest::default()
    };
    let bytes = request.encode_to_vec();
    assert_eq!(bytes[..3], *b"\n\n{");
    assert_eq!(&*read(bytes).unwrap().push.key, "{1-2-3-45}");
}

#[test]
fn what_is_no_push_says_why() {
    for (payload, why) in [
        (
            r#"{"key":null,"biz_id":"chat","receiver_id":"a"}"#,
            "`key` is empty",
        ),
        (
            r#"{"key":"k","biz_id":null,"receiver_id":"a"}"#,
            "`biz_id` is empty",
        ),
        (
            r#"{"key":"k","biz_id":"chat","receiver_id":null}"#,
            "`receiver_id` or",
        ),
        (
            r#"{"key":"k","biz_id":"chat","receiver_ids":[null]}"#,
            "not a push in JSON",
        ),
        ("", "the record is empty"),
        ("hello", "neither JSON nor"),
        ("{", "not a push in JSON"),
        (r#"{"key":"k","biz_id":"chat"}"#, "`receiver_id` or"),
        (r#"{"key":"k","receiver_id":"a"}"#, "`biz_id` is empty"),
        (r#"{"biz_id":"chat","receiver_id":"a"}"#, "`key` is empty"),
        (
            r#"{"key":"k","biz_id":"chat","receiver_id":"a","body":"?"}"#,
            "`body` is not base64",
        ),
        (
            r#"{"key":"k","biz_id":"chat","receiver_id":1.5}"#,
            "a whole number",
        ),
        (
            r#"{"key":"k","biz_id":"chat","receiver_id":"a","expires_at":"soon"}"#,
            "`expires_at` is no",
        ),
    ] {
        let said = read(payload).map(|_| ()).unwrap_err();
        assert!(
            said.starts_with("push.invalid") && said.contains(why),
            "{payload}: {said}"
        );
    }
}

#[test]
fn a_parked_push_comes_back_as_it_was() {
    let taken = read(
        r#"{"key":"k","biz_id":"chat","receiver_ids":["a","b"],"body":"aGk=","expires_at":"5","device_id":"d","all":true}"#,
    )
    .unwrap();
    let history = History {
        parked: 2,
        attempt: 17,
        sent: true,
        age: Duration::from_secs(30),
        waited: Duration::from_secs(4),
        rest: Duration::from_secs(5),
        ..taken.history
    };
    let record = push("parked", &taken.push, vec!["b".into()], &history);
    assert_eq!(
        (record.topic.as_str(), &record.key[..]),
        ("parked", &b"chat-b"[..])
    );
    let again = Arrival {
        headers: record.headers,
        key: record.key,
        ..arrival(record.payload)
    };
    let back = Taken::read(&again, true, now()).unwrap();
    assert_eq!(back.receivers, ["b"]);
    assert_eq!(back.history, history);
    assert_eq!(format!("{:?}", back.push), format!("{:?}", taken.push));
    // Anybody may write to the topic that pushes come from.
    let forged = Taken::read(&again, false, now()).unwrap();
    assert_eq!(forged.history.parked, 0);
}
