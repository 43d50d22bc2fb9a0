//! Clients that break the rules, by mistake or on purpose: the gateway lives, serves the others, and counts them.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use linkgate::client::{ConnectError, Target};
use linkgate_filter::CloseCode;
use linkgate_proto::v1::{Command, Message};
use prost::Message as _;
use serde_json::json;
use tokio::time::Instant;

use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};
use crate::common::metrics::Metrics;
use crate::common::raw::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Raw, announced, handshake, masked, unmasked,
};

const KEY: &str = "key-of-the-chat-0123456789abcdef";

async fn gateway(listener: &str) -> Gateway {
    let setup = Setup {
        listener,
        ..Setup::default()
    };
    setup.start().await
}

/// Somebody who behaves is served.
async fn serves(gateway: &Gateway) {
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    ann.close().await;
}

async fn counts(gateway: &Gateway, what: &str, count: u64, read: impl Fn(&Metrics) -> u64) {
    let what = format!("{what} is counted {count} times");
    gateway
        .counts(&what, |metrics| read(metrics) == count)
        .await;
}

/// A good message.
fn business(key: &str) -> Vec<u8> {
    let message = Message {
        cmd: Command::UpstreamMessage.into(),
        key: key.into(),
        body: "hi".into(),
        fault: None,
    };
    message.encode_to_vec()
}

#[tokio::test]
async fn frames_that_are_no_messages_close_their_link() {
    let gateway = gateway("websocket: { max_message: 4KiB }").await;
    let garbage = masked(FIN | BINARY, b"\xff\xff\xff\xff");
    let text = masked(FIN | 0x1, b"{}");
    let not_utf8 = masked(FIN | 0x1, b"\xc3\x28");
    let oversize = masked(FIN | BINARY, &[0; 5000]);
    let announced = announced(FIN | BINARY, 1 << 40);
    let naked = unmasked(FIN | BINARY, &business("1"));
    let reserved = masked(FIN | 0x40 | BINARY, &business("1"));
    let unknown = masked(FIN | 0x5, b"");
    let long_ping = masked(FIN | PING, &[0; 200]);
    let cut_ping = masked(PING, b"");
    let middle = masked(FIN | CONTINUATION, b"");
    let cases = [
        (&garbage, CloseCode::GARBAGE),
        (&text, CloseCode::UNSUPPORTED),
        (&not_utf8, CloseCode::INVALID_TEXT),
        (&oversize, CloseCode::TOO_BIG),
        (&announced, CloseCode::TOO_BIG),
        (&naked, CloseCode::PROTOCOL),
        (&reserved, CloseCode::PROTOCOL),
        (&unknown, CloseCode::PROTOCOL),
        (&long_ping, CloseCode::PROTOCOL),
        (&cut_ping, CloseCode::PROTOCOL),
        (&middle, CloseCode::PROTOCOL),
    ];
    let mut quiet = Client::connect(&gateway.target("quiet")).await;
    for (n, (frame, code)) in cases.iter().enumerate() {
        let mut raw = Raw::link(gateway.address(), "eve").await;
        raw.write(frame).await;
        assert_eq!(raw.close_code().await, Some(code.code()), "case {n}");
        drop(raw);
        let of_code = cases[..=n]
            .iter()
            .filter(|(_, other)| other == code)
            .count();
        counts(&gateway, code.name(), of_code as u64, |metrics| {
            metrics.closed(code.name())
        })
        .await;
    }
    assert_eq!(quiet.ask("1", "hi").await, Answer::Ack("hi".into()));
    serves(&gateway).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.faults("codec", "codec.garbage"), 1);
    assert_eq!(metrics.faults("codec", "codec.wrong_form"), 1);
}

#[tokio::test]
async fn messages_that_make_no_sense_are_refused_and_the_link_stays() {
    let gateway = gateway("websocket: { max_message: 100KiB }").await;
    let mut eve = Client::connect(&gateway.target("eve")).await;
    let long_key = "k".repeat(200);
    let cases = [
        (Command::UpstreamAck, "1", 0, "codec.unknown_command"),
        (Command::Unspecified, "2", 0, "codec.unknown_command"),
        (Command::UpstreamMessage, "", 0, "codec.missing_key"),
        (Command::UpstreamMessage, &long_key, 0, "codec.key_too_long"),
        (Command::UpstreamMessage, "3", 70_000, "codec.body_too_big"),
    ];
    for (command, key, body, code) in cases {
        eve.say(command, key, vec![0; body]).await;
        let fault = eve.answer().await.1.nack();
        assert_eq!((&*fault.code, fault.retryable), (code, false));
    }
    assert_eq!(eve.ask("4", "hi").await, Answer::Ack("hi".into()));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.faults("codec", "codec.unknown_command"), 2);
    assert_eq!(metrics.faults("codec", "codec.body_too_big"), 1);
}

#[tokio::test]
async fn a_flood_of_fragments_and_control_frames_holds_nobody_up() {
    let gateway = gateway("websocket: { max_message: 4KiB, max_frames: 1000000/s }").await;
    let mut quick = Client::connect(&gateway.target("quick")).await;
    quick.heartbeat("there").await;

    // A message in single bytes, with a ping and an empty fragment between each two of them.
    let mut eve = Raw::link(gateway.address(), "eve").await;
    let message = business("1");
    let (last, first) = message.split_last().unwrap();
    let mut flood = Vec::new();
    for (n, byte) in first.iter().enumerate() {
        let opcode = if n == 0 { BINARY } else { CONTINUATION };
        flood.extend(masked(opcode, &[*byte]));
        flood.extend(masked(FIN | PING, b"?"));
        flood.extend(masked(CONTINUATION, b""));
    }
    flood.extend(masked(FIN | CONTINUATION, &[*last]));
    eve.write(&flood).await;
    let mut pongs = 0;
    let answer = loop {
        match eve.frame().await.expect("the link is open") {
            (first, _) if first == FIN | PONG => pongs += 1,
            (_, payload) => break Message::decode(&*payload).unwrap(),
        }
    };
    assert_eq!((answer.cmd(), &*answer.key), (Command::UpstreamAck, "1"));
    assert!(pongs > 0);

    // Fragments without an end are a message that is too big.
    eve.write(&masked(BINARY, &[0; 100])).await;
    eve.write(&masked(CONTINUATION, &[0; 100]).repeat(60)).await;
    assert_eq!(eve.close_code().await, Some(CloseCode::TOO_BIG.code()));

    // Empty fragments without an end, and control frames without an end, beside somebody who behaves.
    let [mut empty, mut pings] = [
        Raw::link(gateway.address(), "empty").await,
        Raw::link(gateway.address(), "pings").await,
    ];
    empty.write(&masked(BINARY, b"")).await;
    let [empties, controls] =
        [masked(CONTINUATION, b""), masked(FIN | PONG, b"")].map(|frame| frame.repeat(20_000));
    let served = async {
        for n in 0..50 {
            let key = n.to_string();
            assert_eq!(quick.ask(&key, "hi").await, Answer::Ack("hi".into()));
        }
    };
    tokio::join!(empty.write(&empties), pings.write(&controls), served);
    pings
        .write(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()))
        .await;
    assert_eq!(pings.close_code().await, Some(1000));
    serves(&gateway).await;
}

#[tokio::test]
async fn handshakes_without_an_end_are_cut_off() {
    let gateway =
        gateway("timeouts: { handshake: 500ms }, admission: { max_handshakes: 64 }").await;
    let request = handshake("/ws?biz_id=chat&user_id=eve", "");
    let mut lorises = Vec::new();
    for n in 0..20 {
        let mut loris = Raw::connect(gateway.address()).await;
        loris.write(&request.as_bytes()[..n * 5]).await;
        lorises.push(loris);
    }
    serves(&gateway).await;
    for loris in &mut lorises {
        loris.ended().await;
    }
    counts(&gateway, "a timeout", 20, |metrics| {
        metrics.refused("timeout")
    })
    .await;
    serves(&gateway).await;
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_noticed() {
    let gateway = gateway("timeouts: { ping: 300ms, idle: 900ms, close: 300ms }").await;
    let mut alive = Client::connect(&gateway.target("alive")).await;
    // Its socket is open and nobody is there: pings come and are not answered.
    let mut gone = Raw::link(gateway.address(), "gone").await;
    // The library behind the other client answers pings while it waits.
    let idle = counts(&gateway, "an idle link", 1, |metrics| {
        metrics.closed("idle_timeout")
    });
    tokio::select! {
        message = alive.next() => panic!("{message:?}"),
        () = idle => {}
    }
    assert_eq!(gone.frame().await, Some((FIN | PING, Vec::new())));
    assert_eq!(gone.close_code().await, Some(CloseCode::IDLE.code()));
    assert_eq!(gateway.metrics().await.links(), 1);
    assert_eq!(alive.ask("1", "hi").await, Answer::Ack("hi".into()));
}

#[tokio::test]
async fn no_token_but_a_good_one_opens_a_link_and_the_answer_tells_nothing() {
    let jwt = format!(
        "auth: {{ jwt: [{{ issuer: chat, biz_ids: [chat], algorithm: HS256, secret: {KEY} }}] }}"
    );
    let gateway = gateway(&jwt).await;
    let target = |token: Option<String>| Target {
        token,
        biz_id: None,
        user_id: None,
        ..gateway.target("ann")
    };
    let now = jsonwebtoken::get_current_timestamp();
    let good = json!({ "iss": "chat", "sub": "ann", "biz_id": "chat", "exp": now + 600 });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let forged = good_token(&good, "another-key-0123456789abcdef");
    let cases = [
        (None, 401, "token_missing"),
        (Some("garbage".to_owned()), 401, "token_malformed"),
        (Some(forged), 401, "token_signature"),
        (
            Some(good_token(&with("exp", json!(now - 600)), KEY)),
            401,
            "token_expired",
        ),
        (
            Some(good_token(&with("nbf", json!(now + 600)), KEY)),
            401,
            "token_not_yet_valid",
        ),
        (
            Some(good_token(&with("iss", json!("eve")), KEY)),
            401,
            "token_issuer",
        ),
        (
            Some(good_token(&with("sub", json!("")), KEY)),
            401,
            "token_claims",
        ),
        (
            Some(good_token(&with("biz_id", json!("bank")), KEY)),
            403,
            "biz_not_allowed",
        ),
    ];
    let mut texts = Vec::new();
    for (token, status, reason) in cases {
        let missing = token.is_none();
        match Client::try_connect(&target(token)).await {
            Err(ConnectError::Refused {
                status: given,
                text,
                ..
            }) => {
                assert_eq!(given.as_u16(), status, "{reason}");
                if status == 401 && !missing {
                    texts.push(text);
                }
            }
            other => panic!("{reason}: {other:?}"),
        }
        counts(&gateway, reason, 1, |metrics| metrics.refused(reason)).await;
    }
    texts.dedup();
    assert_eq!(
        texts.len(),
        1,
        "the answer tells wrong tokens apart: {texts:?}"
    );
    let mut ann = Client::connect(&target(Some(good_token(&good, KEY)))).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
}

fn good_token(claims: &serde_json::Value, key: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

#[tokio::test]
async fn requests_that_are_no_handshakes_are_answered_and_counted() {
    let gateway = gateway("").await;
    let ann = "biz_id=chat&user_id=ann";
    let long = format!("x-long: {}\r\n", "x".repeat(20_000));
    let cases = [
        (handshake(&format!("/other?{ann}"), ""), "404", "path"),
        (
            handshake("/ws?biz_id=bank&user_id=ann", ""),
            "404",
            "biz_unknown",
        ),
        (handshake("/ws?user_id=ann", ""), "400", "query_identity"),
        (
            handshake(&format!("/ws?{ann}"), &long),
            "431",
            "head_too_large",
        ),
        (
            handshake(&format!("/ws?{ann}"), "sec-websocket-protocol: soap\r\n"),
            "400",
            "subprotocol",
        ),
        (
            format!("POST /ws?{ann} HTTP/1.1\r\nhost: x\r\n\r\n"),
            "405",
            "method",
        ),
        (
            format!("GET /ws?{ann} HTTP/1.1\r\nhost: x\r\n\r\n"),
            "426",
            "not_websocket",
        ),
        (
            "\u{16}\u{3}\u{1}\u{2} no TLS here\r\n\r\n".to_owned(),
            "400",
            "malformed",
        ),
    ];
    for (request, status, reason) in cases {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.write(request.as_bytes()).await;
        let head = raw.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{reason}: {head}"
        );
        counts(&gateway, reason, 1, |metrics| metrics.refused(reason)).await;
    }
    serves(&gateway).await;
}

#[tokio::test]
async fn ten_thousand_junk_connections_hold_nobody_up() {
    const JUNK: usize = 10_000;
    let gateway = gateway("timeouts: { handshake: 2s }").await;
    let mut quick = Client::connect(&gateway.target("quick")).await;
    let address = gateway.address();
    let junk = stream::iter(0..JUNK)
        .map(|n| junk(address, n))
        .buffer_unordered(256);
    let (began, mut asked) = (Instant::now(), 0);
    let mut junk = std::pin::pin!(junk.collect::<Vec<()>>());
    loop {
        asked += 1;
        let key = asked.to_string();
        tokio::select! {
            _ = &mut junk => break,
            answer = quick.ask(&key, "hi") => assert_eq!(answer, Answer::Ack("hi".into())),
        }
    }
    assert!(asked > 10, "served {asked} times meanwhile");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    counts(&gateway, "junk", JUNK as u64, |metrics| {
        metrics.sum("linkgate_listener_refused_total", &[])
    })
    .await;
    let metrics = gateway.metrics().await;
    assert!(metrics.refused("malformed") > 0 && metrics.refused("gone") > 0);
    assert_eq!(metrics.sum("linkgate_listener_accept_errors_total", &[]), 0);
    serves(&gateway).await;
}

/// A connection that sends nothing of use and goes away.
async fn junk(address: SocketAddr, n: usize) {
    let mut raw = Raw::connect(address).await;
    match n % 4 {
        0 => raw.write(b"\x00\x01\x02\x03\r\n\r\n").await,
        1 => raw.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await,
        2 => raw.write(b"GET /ws?biz_id=chat").await,
        _ => {}
    }
    if n % 4 < 2 {
        raw.ended().await;
    }
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_leave_nothing_behind() {
    let gateway = gateway("").await;
    let links = (0..200).map(async |n| {
        let mut raw = Raw::link(gateway.address(), &n.to_string()).await;
        let message = masked(FIN | BINARY, &business("1"));
        // Some in the middle of a frame, some with answers unread: those reset the connection.
        raw.write(&message[..message.len() - n % 2]).await;
    });
    join_all(links).await;
    counts(&gateway, "a lost link", 200, |metrics| {
        metrics.closed("lost")
    })
    .await;
    gateway
        .counts("nothing is left", |metrics| {
            metrics.links() == 0 && metrics.sum("linkgate_links_parked", &[]) == 0
        })
        .await;
    serves(&gateway).await;
}
