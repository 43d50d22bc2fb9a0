//! Connections that never become links.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use linkgate_client::{ConnectError, Target};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::common::raw::handshake;

const KEY: &str = "key-of-the-chat-0123456789abcdef";

#[tokio::test]
async fn handshakes_without_an_end_are_cut_off() {
    let gateway =
        gateway("timeouts: { handshake: 500ms }, admission: { handshakes_per_ip: 22 }").await;
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
