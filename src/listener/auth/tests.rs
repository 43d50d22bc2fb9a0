use std::sync::LazyLock;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::{Value, json};

use super::*;
use crate::listener::config::tests::read;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A pair of keys for one algorithm.
struct Pair {
    algorithm: Algorithm,
    sign: EncodingKey,
    public_pem: String,
    raw_public: Vec<u8>,
}

impl Pair {
    fn new(algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &PKCS_RSA_SHA256,
            Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
            _ => &PKCS_ED25519,
        };
        let pair = KeyPair::generate_for(kind).unwrap();
        let der = pair.serialize_der();
        let private_pem = pair.serialize_pem();
        let sign = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            _ => EncodingKey::from_ed_der(&der),
        };
        let raw_public = pair.der_bytes().to_vec();
        Self {
            algorithm,
            sign,
            public_pem: pair.public_key_pem(),
            raw_public,
        }
    }

    /// As the one key of an issuer.
    fn issuer(&self) -> Authenticator {
        let algorithm = self.algorithm;
        let pem = serde_json::to_string(&self.public_pem).unwrap();
        issuer(&format!("algorithm: {algorithm:?}, public_key: {pem}"))
    }
}

static RSA: LazyLock<Pair> = LazyLock::new(|| Pair::new(Algorithm::RS256));
static EC: LazyLock<Pair> = LazyLock::new(|| Pair::new(Algorithm::ES256));
static ED: LazyLock<Pair> = LazyLock::new(|| Pair::new(Algorithm::EdDSA));

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
    auth.authenticate(&request)
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
fn every_algorithm_is_taken_with_its_own_key() {
    for (name, algorithm) in [
        ("HS256", Algorithm::HS256),
        ("HS384", Algorithm::HS384),
        ("HS512", Algorithm::HS512),
    ] {
        let auth = issuer(&format!("algorithm: {name}, secret: {SECRET}"));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        assert!(
            check(&auth, &sign(&Header::new(algorithm), &json!({}), &key)).is_ok(),
            "{name}"
        );
    }
    for pair in [&*RSA, &*EC, &*ED] {
        let token = sign(&Header::new(pair.algorithm), &json!({}), &pair.sign);
        assert!(
            check(&pair.issuer(), &token).is_ok(),
            "{:?}",
            pair.algorithm
        );
    }
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
        assert!(auth.authenticate(&request).is_ok(), "{request:?}");
    }
    for request in [
        request("/ws", &[]),
        request("/ws?token=", &[]),
        request("/ws", &[(AUTHORIZATION, "Bearer ".to_owned())]),
    ] {
        assert_eq!(
            auth.authenticate(&request),
            Err(Refusal::TokenMissing),
            "{request:?}"
        );
    }
}

#[test]
fn the_first_token_counts_even_where_a_later_one_is_better() {
    let uri = format!("/ws?token={}", hmac_token(&json!({})));
    let request = request(&uri, &[(AUTHORIZATION, "Bearer garbage".to_owned())]);
    assert_eq!(hmac().authenticate(&request), Err(Refusal::TokenMalformed));
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
fn a_public_key_is_no_shared_secret() {
    // The classic confusion: sign with HMAC, with the public key as the secret, and hope that the checker takes the
    // algorithm from the token.
    for pair in [&*RSA, &*EC, &*ED] {
        let auth = pair.issuer();
        for secret in [
            pair.public_pem.as_bytes(),
            pair.public_pem.trim().as_bytes(),
            &pair.raw_public,
        ] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let token = sign(
                    &Header::new(algorithm),
                    &json!({}),
                    &EncodingKey::from_secret(secret),
                );
                assert_eq!(
                    check(&auth, &token),
                    Err(Refusal::TokenKey),
                    "{:?}",
                    pair.algorithm
                );
            }
        }
    }
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

/// By the query, which carries what a header cannot.
fn check_query(auth: &Authenticator, token: &str) -> Result<Authenticated, Refusal> {
    let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    auth.authenticate(&request(&format!("/ws?token={token}"), &[]))
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

fn base64url(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
}

/// A set with an EC key `ec`, an Ed key `ed`, an HMAC key `mac`, and others that are to be passed over.
fn jwks() -> Value {
    let point = &EC.raw_public;
    json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "ec", "x": base64url(&point[1..33]), "y": base64url(&point[33..]) },
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": base64url(&ED.raw_public) },
        { "kty": "oct", "alg": "HS256", "kid": "mac", "k": base64url(SECRET.as_bytes()) },
        { "kty": "oct", "kid": "nameless", "k": base64url(SECRET.as_bytes()) },
        { "kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB" },
        { "kty": "EC", "crv": "P-384", "alg": "ES384", "kid": "big", "x": "AA", "y": "AA" },
    ]})
}

fn jwks_issuer() -> Authenticator {
    issuer(&format!(
        "jwks: {}",
        serde_json::to_string(&jwks().to_string()).unwrap()
    ))
}

fn with_kid(pair: &Pair, kid: Option<&str>) -> String {
    let mut header = Header::new(pair.algorithm);
    header.kid = kid.map(str::to_owned);
    sign(&header, &json!({}), &pair.sign)
}

#[test]
fn a_key_set_is_chosen_from_by_kid_and_algorithm() {
    let auth = jwks_issuer();
    assert!(check(&auth, &with_kid(&EC, Some("ec"))).is_ok());
    assert!(check(&auth, &with_kid(&ED, Some("ed"))).is_ok());
    assert!(
        check(&auth, &with_kid(&EC, None)).is_ok(),
        "without a kid, all keys of its algorithm"
    );
    assert_eq!(
        check(&auth, &with_kid(&EC, Some("ed"))),
        Err(Refusal::TokenKey)
    );
    assert_eq!(
        check(&auth, &with_kid(&EC, Some("gone"))),
        Err(Refusal::TokenKey)
    );
    let stranger = Pair::new(Algorithm::ES256);
    assert_eq!(
        check(&auth, &with_kid(&stranger, Some("ec"))),
        Err(Refusal::TokenSignature)
    );
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("mac".to_owned());
    let mac = EncodingKey::from_secret(SECRET.as_bytes());
    assert!(check(&auth, &sign(&header, &json!({}), &mac)).is_ok());
    header.kid = Some("nameless".to_owned());
    assert_eq!(
        check(&auth, &sign(&header, &json!({}), &mac)),
        Err(Refusal::TokenKey)
    );
}

#[test]
fn a_point_of_a_key_set_is_no_shared_secret() {
    let auth = jwks_issuer();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("ec".to_owned());
    let token = sign(
        &header,
        &json!({}),
        &EncodingKey::from_secret(&EC.raw_public),
    );
    assert_eq!(check(&auth, &token), Err(Refusal::TokenKey));
}

#[test]
fn keys_can_be_rotated() {
    let auth = issuer(&format!(
        "keys: [{{ kid: old, algorithm: HS256, secret: {SECRET} }},
                {{ kid: new, algorithm: HS256, secret: nnnnnnnnnnnnnnnnnnnn }},
                {{ algorithm: HS256, secret: mmmmmmmmmmmmmmmmmmmm }}]"
    ));
    let by = |secret: &str, kid: Option<&str>| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        check(
            &auth,
            &sign(
                &header,
                &json!({}),
                &EncodingKey::from_secret(secret.as_bytes()),
            ),
        )
        .err()
    };
    assert_eq!(by(SECRET, Some("old")), None);
    assert_eq!(by("nnnnnnnnnnnnnnnnnnnn", Some("new")), None);
    assert_eq!(by("nnnnnnnnnnnnnnnnnnnn", None), None);
    assert_eq!(
        by("nnnnnnnnnnnnnnnnnnnn", Some("old")),
        Some(Refusal::TokenSignature)
    );
    assert_eq!(
        by("mmmmmmmmmmmmmmmmmmmm", Some("other")),
        None,
        "the key without a kid"
    );
    assert_eq!(
        by("nnnnnnnnnnnnnnnnnnnn", Some("other")),
        Some(Refusal::TokenSignature)
    );
}

#[test]
fn keys_of_the_wrong_kind_are_problems() {
    let wrong = |algorithm: &str, pem: &str| {
        let pem = serde_json::to_string(pem).unwrap();
        let yaml = format!(
            "{{ jwt: [{{ issuer: a, biz_ids: [a], algorithm: {algorithm}, public_key: {pem} }}] }}"
        );
        let problems = Authenticator::prepare(&read(&yaml).unwrap()).unwrap_err();
        problems.to_string()
    };
    for (algorithm, pair) in [
        ("RS256", &*EC),
        ("ES256", &*ED),
        ("EdDSA", &*RSA),
        ("RS256", &*ED),
    ] {
        assert!(
            wrong(algorithm, &pair.public_pem).contains("needs"),
            "{algorithm}"
        );
    }
    let private = KeyPair::generate().unwrap().serialize_pem();
    let told = wrong("ES256", &private);
    assert!(
        told.contains("private key") && !told.contains(&private[40..80]),
        "{told}"
    );
    let big = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
        .unwrap()
        .public_key_pem();
    assert!(wrong("ES256", &big).contains("P-256"));
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
        auth.authenticate(&request(&format!("/ws?{query}"), &[]))
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
    let shown = format!("{:?} {:?}", hmac(), jwks_issuer());
    assert!(
        !shown.contains(SECRET) && !shown.contains(&format!("{:?}", SECRET.as_bytes())),
        "{shown}"
    );
}
