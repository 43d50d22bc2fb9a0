//! Which key checks which token, and which keys are none.

use std::sync::LazyLock;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};

use super::*;

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

pub(super) fn jwks_issuer() -> Authenticator {
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
