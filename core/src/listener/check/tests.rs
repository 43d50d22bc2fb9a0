use super::*;
use crate::listener::config::tests::{DESIGN, parse};

/// `path: message` of each problem.
fn problems(yaml: &str) -> Vec<String> {
    let mut problems = Problems::new();
    let config = parse(yaml);
    config.check(&mut problems);
    config.check_certificate(&mut problems);
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

/// Whether one problem is at `path` and its message has `part` in it.
#[track_caller]
fn assert_problem(yaml: &str, path: &str, part: &str) {
    let problems = problems(yaml);
    let found = problems
        .iter()
        .any(|p| p.starts_with(&format!("{path}: ")) && p.contains(part));
    assert!(
        found,
        "no problem at {path} with `{part}` among {problems:#?}"
    );
}

#[test]
fn the_example_of_the_design_is_sound() {
    assert_eq!(problems(DESIGN), Vec::<String>::new());
    let config = parse(DESIGN);
    assert_eq!(config.admission.per_ip, Some(100));
    assert_eq!(config.second_login, SecondLogin::Replace);
}

#[test]
fn insecure_query_wants_loopback_or_a_second_word() {
    let on =
        |address, more| format!("{{ name: a, address: '{address}', auth: insecure_query {more} }}");
    for loopback in ["127.0.0.1:80", "[::1]:80", "127.9.9.9:80"] {
        assert!(problems(&on(loopback, "")).is_empty(), "{loopback}");
    }
    for public in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
        assert_problem(&on(public, ""), "auth", "anybody");
        assert!(
            problems(&on(public, ", expose_insecure_query: true")).is_empty(),
            "{public}"
        );
    }
    let useless = DESIGN.to_owned() + "expose_insecure_query: true";
    assert_problem(&useless, "expose_insecure_query", "only");
}

#[test]
fn all_problems_are_told_at_once() {
    let yaml = r#"
name: "my listener"
address: 0.0.0.0:80
proxy_protocol: v2
auth: insecure_query
origins: [chat.example.com]
websocket: { path: ws, max_message: 1GiB, max_header: 10B, compression: { window_bits: 8, level: 0, min_size: 1GiB } }
timeouts: { handshake: 0s, idle: 10s, ping: 10s }
second_login: { allow: 0 }
admission: { max_links: 0, per_ip: 0, max_handshakes: 0, handshakes_per_ip: 0, links_per_second: { initial: 10, max: 5, every: 0s } }
tls: { cert: /nowhere/cert.pem, key: /nowhere/key.pem }
"#;
    for path in [
        "name",
        "proxy_protocol",
        "auth",
        "origins[0]",
        "websocket.path",
        "websocket.max_message",
        "websocket.max_header",
        "websocket.compression.window_bits",
        "websocket.compression.level",
        "websocket.compression.min_size",
        "timeouts.handshake",
        "timeouts.ping",
        "second_login.allow",
        "admission.max_links",
        "admission.per_ip",
        "admission.max_handshakes",
        "admission.handshakes_per_ip",
        "admission.links_per_second.max",
        "admission.links_per_second.every",
        "tls.cert",
        "tls.key",
    ] {
        assert_problem(yaml, path, "");
    }
}

#[test]
fn a_pace_must_be_able_to_rise_as_it_says() {
    let paced = |pace| {
        format!(
            "{{ name: a, address: '127.0.0.1:0', auth: insecure_query, admission: {{ links_per_second: {pace} }} }}"
        )
    };
    assert!(problems(&paced("{ initial: 5 }")).is_empty());
    assert_problem(
        &paced("{ initial: 0 }"),
        "admission.links_per_second.initial",
        "nobody",
    );
    assert_problem(
        &paced("{ initial: 5, max: 9 }"),
        "admission.links_per_second.max",
        "never",
    );
    assert_problem(
        &paced("{ initial: 5, step: 9 }"),
        "admission.links_per_second.step",
        "rise",
    );
}

fn issuer(rest: &str) -> String {
    format!(
        "{{ name: a, address: '0.0.0.0:80', auth: {{ jwt: [{{ issuer: chat, biz_ids: [chat], {rest} }}] }} }}"
    )
}

#[test]
fn an_issuer_needs_its_keys_in_one_way() {
    let secret = "0123456789abcdef";
    for rest in [
        String::new(),
        format!("algorithm: HS256, secret: '{secret}', jwks: '{{}}'"),
        format!(
            "algorithm: HS256, secret: '{secret}', keys: [{{ algorithm: HS256, secret: '{secret}' }}]"
        ),
    ] {
        assert_problem(&issuer(&rest), "auth.jwt[0].issuer", "exactly one way");
    }
    assert_problem(
        &issuer(&format!("secret: '{secret}'")),
        "auth.jwt[0].issuer",
        "algorithm",
    );
}

#[test]
fn a_key_must_be_of_its_algorithm() {
    assert_problem(
        &issuer("algorithm: HS256"),
        "auth.jwt[0].algorithm",
        "needs a `secret`",
    );
    assert_problem(
        &issuer("algorithm: RS256, secret: '0123456789abcdef'"),
        "auth.jwt[0].algorithm",
        "public_key",
    );
    assert_problem(
        &issuer("algorithm: HS256, secret: short"),
        "auth.jwt[0].secret",
        "bytes",
    );
    let pem = "-----BEGIN PUBLIC KEY-----";
    assert_problem(
        &issuer(&format!("algorithm: HS256, secret: '{pem}'")),
        "auth.jwt[0].secret",
        "PEM",
    );
    assert_problem(
        &issuer("algorithm: ES256, public_key: keys/chat.pem"),
        "auth.jwt[0].public_key",
        "PEM",
    );
    assert_problem(
        &issuer(&format!("algorithm: ES256, public_key: '{pem}'")),
        "auth.jwt[0].public_key",
        "P-256",
    );
    let nested =
        issuer("keys: [{ algorithm: HS256, secret: '0123456789abcdef' }, { algorithm: HS512 }]");
    assert_problem(&nested, "auth.jwt[0].keys[1].algorithm", "needs a `secret`");
}

#[test]
fn issuers_must_be_told_apart_and_speak_for_somebody() {
    let yaml = r"
name: a
address: 0.0.0.0:80
auth:
  jwt:
    - { issuer: chat, biz_ids: [], algorithm: HS256, secret: 0123456789abcdef, leeway: 1h }
    - { issuer: chat, biz_ids: [''], algorithm: HS256, secret: 0123456789abcdef, user_claim: '' }
";
    assert_problem(yaml, "auth.jwt[0].biz_ids", "empty");
    assert_problem(yaml, "auth.jwt[0].leeway", "10m");
    assert_problem(yaml, "auth.jwt[1].issuer", "twice");
    assert_problem(yaml, "auth.jwt[1].biz_ids[0]", "bizID");
    assert_problem(yaml, "auth.jwt[1].user_claim", "empty");
    assert_problem(
        "{ name: a, address: '0.0.0.0:80', auth: { jwt: [] } }",
        "auth.jwt",
        "nobody",
    );
}

#[test]
fn no_secret_shows_in_problems_or_debug() {
    let secret = "c0ffee-c0ffee-c0ffee";
    let jwks = format!(
        r#"jwks: '{{ "keys": [ {{ "kty": "oct", "alg": "HS256", "k": {{ "{secret}": 1 }} }} ] }}'"#
    );
    for rest in [
        format!("algorithm: RS256, secret: {secret}"),
        format!("algorithm: RS256, secret: {secret}, public_key: {secret}"),
        format!("jwks: '{{ \"keys\": \"{secret}\" }}'"),
        format!("jwks: '{secret}'"),
        jwks,
    ] {
        let yaml = issuer(&rest);
        let shown = format!("{:?} {:?}", problems(&yaml), parse(&yaml));
        let secret_part = if rest.contains("public_key") {
            "secret: Some(\""
        } else {
            secret
        };
        assert!(!shown.contains(secret_part), "{shown}");
        assert!(!problems(&yaml).is_empty());
        assert!(!problems(&yaml).concat().contains(secret));
    }
}
