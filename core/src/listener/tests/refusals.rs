//! What is wrong with a request, and the answer to it.

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;

use super::*;

/// Asks, and checks the answer's first line, a part of its head, and the counter.
async fn assert_refused(site: &Site, request: &str, status: u16, part: &str, refusal: Refusal) {
    let before = site.refused(refusal);
    let answer = site.ask(request.as_bytes()).await;
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{request}\n{answer}"
    );
    assert!(
        answer.to_lowercase().contains(part),
        "no `{part}` in {answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close"), "{answer}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{answer}"
    );
    site.until_refused(refusal, before + 1).await;
}

#[tokio::test]
async fn each_fault_has_its_status() {
    let site = Site::open("origins: ['https://chat.example.com']\nform: protobuf").await;
    let good = handshake(GOOD, &[]);
    let without = |line: &str| {
        good.lines()
            .filter(|l| !l.starts_with(line))
            .fold(String::new(), |all, l| all + l + "\r\n")
    };
    let cases = [
        (handshake("/other", &[]), 404, "nothing here", Refusal::Path),
        (
            good.replace("GET", "POST"),
            405,
            "allow: get",
            Refusal::Method,
        ),
        (
            without("Upgrade"),
            426,
            "upgrade: websocket",
            Refusal::NotWebSocket,
        ),
        (
            without("Connection"),
            426,
            "upgrade: websocket",
            Refusal::NotWebSocket,
        ),
        (
            good.replace(": 13", ": 8"),
            426,
            "sec-websocket-version: 13",
            Refusal::WebSocketVersion,
        ),
        (without("Sec-WebSocket-Key"), 400, "", Refusal::Malformed),
        (
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            400,
            "",
            Refusal::Malformed,
        ),
        (
            good.replace("HTTP/1.1", "HTTP/1.0"),
            426,
            "use http/1.1",
            Refusal::HttpVersion,
        ),
        (
            "\x16\x03\x01 no http\r\n\r\n".to_owned(),
            400,
            "",
            Refusal::Malformed,
        ),
        (good.clone() + "early", 400, "", Refusal::Malformed),
        (
            handshake(GOOD, &["Origin: https://evil.test"]),
            403,
            "origin",
            Refusal::Origin,
        ),
        (
            handshake(GOOD, &["Sec-WebSocket-Protocol: linkgate.v1.json"]),
            400,
            "subprotocol",
            Refusal::Subprotocol,
        ),
        (
            handshake("/ws?biz_id=chat", &[]),
            400,
            "user_id",
            Refusal::QueryIdentity,
        ),
        (
            handshake("/ws?biz_id=other&user_id=ann", &[]),
            404,
            "bizid",
            Refusal::BizUnknown,
        ),
        (
            handshake("/ws?biz_id=refused&user_id=ann", &[]),
            503,
            "not served yet",
            Refusal::BizNotReady,
        ),
    ];
    for (request, status, part, refusal) in cases {
        assert_refused(&site, &request, status, part, refusal).await;
    }
}

#[tokio::test]
async fn a_bad_token_learns_nothing() {
    let site = Site::open(
        "auth: { jwt: [{ issuer: chat, biz_ids: [chat, game], algorithm: HS256, secret: 0123456789abcdef0123 }] }",
    )
    .await;
    let exp = get_current_timestamp() + 600;
    let token = |secret: &str, changes: serde_json::Value| {
        let mut claims = json!({ "iss": "chat", "sub": "ann", "biz_id": "chat", "exp": exp });
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let key = EncodingKey::from_secret(secret.as_bytes());
        format!(
            "Authorization: Bearer {}",
            encode(&Header::default(), &claims, &key).unwrap()
        )
    };
    let own = "0123456789abcdef0123";
    let mut answers = Vec::new();
    for (header, refusal) in [
        (
            token("another secret, not theirs", json!({})),
            Refusal::TokenSignature,
        ),
        (token(own, json!({ "exp": 1 })), Refusal::TokenExpired),
        (token(own, json!({ "nbf": exp })), Refusal::TokenNotYetValid),
        (token(own, json!({ "iss": "x" })), Refusal::TokenIssuer),
        (token(own, json!({ "aud": "x" })), Refusal::TokenAudience),
        (token(own, json!({ "sub": "" })), Refusal::TokenClaims),
        (
            "Authorization: Bearer x.y.z".to_owned(),
            Refusal::TokenMalformed,
        ),
    ] {
        let request = handshake("/ws", &[&header]);
        assert_refused(&site, &request, 401, "www-authenticate: bearer", refusal).await;
        answers.push(site.ask(request.as_bytes()).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "all the same answer: {answers:#?}");
    let missing = handshake("/ws", &[]);
    assert_refused(
        &site,
        &missing,
        401,
        "a token is needed",
        Refusal::TokenMissing,
    )
    .await;
    let not_its = handshake("/ws", &[&token(own, json!({ "biz_id": "other" }))]);
    assert_refused(&site, &not_its, 403, "bizid", Refusal::BizNotAllowed).await;
    let unknown = handshake("/ws", &[&token(own, json!({ "biz_id": "game" }))]);
    assert_refused(&site, &unknown, 404, "bizid", Refusal::BizUnknown).await;
    let good = handshake("/ws", &[&token(own, json!({}))]);
    let mut stream = site.connect().await;
    stream.write_all(good.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so() {
    let site = Site::open("websocket: { max_header: 1KiB }").await;
    let padding = format!("X-Padding: {}", "x".repeat(1024));
    let large = handshake(GOOD, &[&padding]);
    assert_refused(&site, &large, 431, "too large", Refusal::HeadTooLarge).await;
    let endless = format!("GET /{}", "x".repeat(200_000));
    // It may be cut off while it still sends.
    drop(site.connect().await.write_all(endless.as_bytes()).await);
    site.until_refused(Refusal::HeadTooLarge, 2).await;
    let room = 1024 - handshake(GOOD, &["X-Padding: "]).len();
    let exact = handshake(GOOD, &[&format!("X-Padding: {}", "x".repeat(room))]);
    assert_eq!(exact.len(), 1024);
    let mut stream = site.connect().await;
    stream.write_all(exact.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let mut site = Site::open("").await;
    let mut stream = site.connect().await;
    for byte in handshake(GOOD, &[]).as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(site.links.recv().await.is_some());
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let site = Site::open("timeouts: { handshake: 50ms }").await;
    for start in ["", "GET /ws HTTP/1.1\r\n"] {
        let answer = site.ask(start.as_bytes()).await;
        assert_eq!(answer, "");
    }
    site.until_refused(Refusal::Timeout, 2).await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted_and_forgotten() {
    let site = Site::open("").await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET /ws").await.unwrap();
    drop(stream);
    site.until_refused(Refusal::Gone, 1).await;
}
