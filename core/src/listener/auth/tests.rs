mod keys;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::listener::config::tests::read;
use linkgate_filter::Clock;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn prepare(yaml: &str) -> Authenticator {
    Authenticator::prepare(&read(yaml).unwrap()).unwrap()
}

/// One issuer, `chat`, for the business `chat`.
fn issuer(rest: &str) -> Authenticator {
    prepare(&format!(
        "{{ jwt: [{{ issuer: chat, biz_ids: [chat], {rest} }}] }}"
    ))
}

fn hmac() -> Authenticator {
    issuer(&format!("algorithm: HS256, secret: {SECRET}"))
}

/// Sound claims, with `changes` over them; `null` takes one out.
fn claims(changes: &Value) -> Value {
    let exp = get_current_timestamp() + 600;
    let mut claims = json!({ "iss": "chat", "sub": "ann", "biz_id": "chat", "exp": exp });
    for (claim, value) in changes.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

fn sign(header: &Header, changes: &Value, key: &EncodingKey) -> String {
    encode(header, &claims(changes), key).unwrap()
}

fn hmac_token(changes: &Value) -> String {
    sign(
        &Header::new(Algorithm::HS256),
        changes,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
}

fn request(uri: &str, headers: &[(http::HeaderName, String)]) -> Request<()> {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

fn check(auth: &Authenticator, token: &str) -> Result<Identity, Refusal> {
    let request = request("/ws", &[(AUTHORIZATION, format!("Bearer {token}"))]);
    auth.authenticate(&request, SystemClock.wall())
        .map(|authenticated| authenticated.identity)
}

#[test]
fn a_sound_token_names_business_user_and_device() {
    let token = hmac_token(&json!({ "device_id": "phone" }));
    assert_eq!(
        check(&hmac(), &token),
        Ok(Identity::new("chat", "ann").at_device("phone"))
    );
    assert_eq!(
        check(&hmac(), &hmac_token(&json!({}))),
        Ok(Identity::new("chat", "ann"))
    );
}

#[test]
fn a_token_comes_in_one_of_three_places() {
    let (auth, token) = (hmac(), hmac_token(&json!({})));
    let protocols = format!("linkgate.v1.json, linkgate.token.{token}");
    for request in [
        request("/ws", &[(AUTHORIZATION, format!("bearer {token}"))]),
        request("/ws", &[(SEC_WEBSOCKET_PROTOCOL, protocols)]),
        request(&format!("/ws?a=b&token={token}"), &[]),
        request(
            &format!("/ws?token={token}"),
            &[(AUTHORIZATION, "Basic YTpi".to_owned())],
        ),
    ] {
        assert!(
            auth.authenticate(&request, SystemClock.wall()).is_ok(),
            "{request:?}"
        );
    }
    for request in [
        request("/ws", &[]),
        request("/ws?token=", &[]),
        request("/ws", &[(AUTHORIZATION, "Bearer ".to_owned())]),
    ] {
        assert_eq!(
            auth.authenticate(&request, SystemClock.wall()),
            Err(Refusal::TokenMissing),
            "{request:?}"
        );
    }
}

#[test]
fn the_first_token_counts_even_where_a_later_one_is_better() {
    let uri = format!("/ws?token={}", hmac_token(&json!({})));
    let request = request(&uri, &[(AUTHORIZATION, "Bearer garbage".to_owned())]);
    assert_eq!(
        hmac().authenticate(&request, SystemClock.wall()),
        Err(Refusal::TokenMalformed)
    );
}

#[test]
fn time_audience_and_issuer_must_hold() {
    let now = get_current_timestamp();
    let auth = issuer(&format!(
        "algorithm: HS256, secret: {SECRET}, audience: [gate, door], leeway: 30s"
    ));
    let sound = json!({ "aud": "gate" });
    let with = |changes: Value| {
        let mut all = sound.clone();
        all.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        check(&auth, &hmac_token(&all)).err()
    };
    assert_eq!(with(json!({})), None);
    assert_eq!(with(json!({ "aud": ["other", "door"] })), None);
    assert_eq!(
        with(json!({ "exp": now - 10, "nbf": now + 10 })),
        None,
        "within the leeway"
    );
    assert_eq!(
        with(json!({ "exp": now - 60 })),
        Some(Refusal::TokenExpired)
    );
    assert_eq!(with(json!({ "exp": null })), Some(Refusal::TokenExpired));
    assert_eq!(with(json!({ "exp": "soon" })), Some(Refusal::TokenExpired));
    assert_eq!(
        with(json!({ "nbf": now + 60 })),
        Some(Refusal::TokenNotYetValid)
    );
    assert_eq!(
        with(json!({ "nbf": "soon" })),
        Some(Refusal::TokenMalformed)
    );
    assert_eq!(
        with(json!({ "aud": "other" })),
        Some(Refusal::TokenAudience)
    );
    assert_eq!(with(json!({ "aud": 7 })), Some(Refusal::TokenAudience));
    assert_eq!(with(json!({ "aud": null })), Some(Refusal::TokenAudience));
    assert_eq!(with(json!({ "iss": "other" })), Some(Refusal::TokenIssuer));
    assert_eq!(with(json!({ "iss": null })), Some(Refusal::TokenIssuer));
    assert_eq!(
        check(&hmac(), &hmac_token(&sound)),
        Err(Refusal::TokenAudience),
        "for another audience"
    );
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let part = |value: &Value| {
        base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            value.to_string(),
        )
    };
    let payload = part(&claims(&json!({})));
    for alg in ["none", "None", "HS256"] {
        let token = format!("{}.{payload}.", part(&json!({ "alg": alg, "typ": "JWT" })));
        assert!(check(&hmac(), &token).is_err(), "{alg}");
    }
    let signed = hmac_token(&json!({}));
    let stripped = &signed[..=signed.rfind('.').unwrap()];
    assert_eq!(check(&hmac(), stripped), Err(Refusal::TokenSignature));
}

#[test]
fn another_key_or_a_changed_payload_is_a_wrong_signature() {
    let other = EncodingKey::from_secret(b"ffffffffffffffffffffffffffffffff");
    let token = sign(&Header::new(Algorithm::HS256), &json!({}), &other);
    assert_eq!(check(&hmac(), &token), Err(Refusal::TokenSignature));
    let (ann, bob) = (hmac_token(&json!({})), hmac_token(&json!({ "sub": "bob" })));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (ann, bob) = (parts(&ann), parts(&bob));
    let mixed = format!("{}.{}.{}", ann[0], bob[1], ann[2]);
    assert_eq!(check(&hmac(), &mixed), Err(Refusal::TokenSignature));
}

#[test]
fn garbage_is_malformed() {
    for token in [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "....",
        "é.é.é",
        "eyJhbGciOiJIUzI1NiJ9.e30",
    ] {
        assert_eq!(
            check_query(&hmac(), token),
            Err(Refusal::TokenMalformed),
            "{token}"
        );
    }
}

#[test]
fn time_is_that_of_the_node() {
    let token = hmac_token(&json!({}));
    let request = request("/ws", &[(AUTHORIZATION, format!("Bearer {token}"))]);
    let at = |after: u64| {
        let now = SystemClock.wall() + Duration::from_secs(after);
        hmac().authenticate(&request, now).map(|_| ())
    };
    assert_eq!(at(500), Ok(()));
    assert_eq!(at(700), Err(Refusal::TokenExpired));
}

/// By the query, which carries what a header cannot.
fn check_query(auth: &Authenticator, token: &str) -> Result<Authenticated, Refusal> {
    let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    auth.authenticate(
        &request(&format!("/ws?token={token}"), &[]),
        SystemClock.wall(),
    )
}

#[test]
fn a_critical_header_parameter_is_not_passed_over() {
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".to_owned()]);
    let token = sign(
        &header,
        &json!({}),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    assert_eq!(check(&hmac(), &token), Err(Refusal::TokenMalformed));
}

#[test]
fn each_issuer_speaks_with_its_own_key_for_its_own_businesses() {
    let auth = prepare(&format!(
        "jwt:
          - {{ issuer: chat, biz_ids: [chat], algorithm: HS256, secret: {SECRET} }}
          - {{ issuer: game, biz_ids: [game, arena], algorithm: HS256, secret: ffffffffffffffffffff }}"
    ));
    let game = EncodingKey::from_secret(b"ffffffffffffffffffff");
    let by_game = |changes: Value| {
        check(
            &auth,
            &sign(&Header::new(Algorithm::HS256), &changes, &game),
        )
    };
    let arena = json!({ "iss": "game", "biz_id": "arena" });
    assert_eq!(by_game(arena), Ok(Identity::new("arena", "ann")));
    assert_eq!(
        by_game(json!({ "iss": "game", "biz_id": "chat" })),
        Err(Refusal::BizNotAllowed)
    );
    assert_eq!(
        by_game(json!({ "iss": "chat" })),
        Err(Refusal::TokenSignature)
    );
    assert_eq!(
        by_game(json!({ "iss": "game", "biz_id": null })),
        Err(Refusal::TokenClaims)
    );
    let only = hmac_token(&json!({ "biz_id": null }));
    assert_eq!(
        check(&auth, &only),
        Ok(Identity::new("chat", "ann")),
        "the only business it may mean"
    );
}

#[test]
fn tokens_without_an_issuer_are_tried_where_that_is_allowed() {
    let auth = prepare(&format!(
        "jwt:
          - {{ issuer: a, biz_ids: [chat], algorithm: HS256, secret: aaaaaaaaaaaaaaaaaaaa, accept_without_iss: true }}
          - {{ issuer: b, biz_ids: [chat], algorithm: HS256, secret: {SECRET}, accept_without_iss: true }}
          - {{ issuer: c, biz_ids: [chat], algorithm: HS256, secret: cccccccccccccccccccc }}"
    ));
    assert!(check(&auth, &hmac_token(&json!({ "iss": null }))).is_ok());
    let by_c = EncodingKey::from_secret(b"cccccccccccccccccccc");
    let nameless = sign(
        &Header::new(Algorithm::HS256),
        &json!({ "iss": null }),
        &by_c,
    );
    assert_eq!(check(&auth, &nameless), Err(Refusal::TokenSignature));
}

#[test]
fn claims_have_configurable_names_and_may_be_numbers() {
    let auth = issuer(&format!(
        "algorithm: HS256, secret: {SECRET}, user_claim: uid, biz_claim: app, device_claim: dev"
    ));
    let token = hmac_token(&json!({ "uid": 42, "app": "chat", "dev": "d1" }));
    assert_eq!(
        check(&auth, &token),
        Ok(Identity::new("chat", "42").at_device("d1"))
    );
    for uid in [
        json!(null),
        json!(""),
        json!(1.5),
        json!(["a"]),
        json!("a\nb"),
        json!("x".repeat(257)),
    ] {
        let token = hmac_token(&json!({ "uid": uid, "app": "chat" }));
        assert_eq!(check(&auth, &token), Err(Refusal::TokenClaims), "{uid}");
    }
    let token = hmac_token(&json!({ "uid": "a", "app": "chat", "dev": true }));
    assert_eq!(check(&auth, &token), Err(Refusal::TokenClaims));
}

#[tokio::test(start_paused = true)]
async fn an_expiring_token_says_when_unless_the_link_may_stay() {
    let exp = get_current_timestamp() + 100;
    let token = hmac_token(&json!({ "exp": exp }));
    let closing = check_query(&hmac(), &token).unwrap().expires_at.unwrap() - Instant::now();
    assert!(
        (128.0..=131.0).contains(&closing.as_secs_f64()),
        "exp and leeway: {closing:?}"
    );
    let keeping = issuer(&format!(
        "algorithm: HS256, secret: {SECRET}, on_expiry: keep"
    ));
    assert_eq!(check_query(&keeping, &token).unwrap().expires_at, None);
    let never = hmac_token(&json!({ "exp": u64::MAX / 2 }));
    assert_eq!(
        check_query(&hmac(), &never).unwrap().expires_at,
        None,
        "beyond the clock"
    );
}

#[test]
fn insecure_query_believes_the_query() {
    let auth = prepare("insecure_query");
    let who = |query: &str| {
        auth.authenticate(&request(&format!("/ws?{query}"), &[]), SystemClock.wall())
            .map(|a| a.identity)
    };
    assert_eq!(
        who("biz_id=chat&user_id=ann%20b"),
        Ok(Identity::new("chat", "ann b"))
    );
    assert_eq!(
        who("biz_id=chat&user_id=ann&device_id=d"),
        Ok(Identity::new("chat", "ann").at_device("d"))
    );
    for query in [
        "",
        "biz_id=chat",
        "user_id=ann",
        "biz_id=&user_id=ann",
        "biz_id=chat&user_id=a%0Ab",
        "biz_id=chat&user_id=a&device_id=",
    ] {
        assert_eq!(who(query), Err(Refusal::QueryIdentity), "{query}");
    }
}

#[test]
fn nothing_of_a_key_shows_in_debug() {
    let shown = format!("{:?} {:?}", hmac(), keys::jwks_issuer());
    assert!(
        !shown.contains(SECRET) && !shown.contains(&format!("{:?}", SECRET.as_bytes())),
        "{shown}"
    );
}
