use super::*;
use crate::link::SecondLogin;
use linkgate_filter::problem::{Problems, deserialize};
use serde::de::DeserializeOwned;

/// Reads a part of a config as the program does.
pub(in crate::listener) fn read<T: DeserializeOwned>(yaml: &str) -> Result<T, Problems> {
    deserialize(&serde_yaml::from_str(yaml).unwrap())
}

pub(in crate::listener) fn parse(yaml: &str) -> ListenerConfig {
    read(yaml).unwrap()
}

pub(in crate::listener) const DESIGN: &str = r#"
name: public
address: 0.0.0.0:8080
proxy_protocol: off
auth:
  jwt:
    - { issuer: chat, biz_ids: [chat], algorithm: HS256, secret: "0123456789abcdef0123456789abcdef", user_claim: user_id, biz_claim: biz_id }
websocket: { path: /ws, max_message: 128KiB }
timeouts: { handshake: 5s, idle: 60s, ping: 25s }
admission: { max_links: 100000, per_ip: 100, links_per_second: { initial: 500, step: 500, every: 1s, max: 5000 } }
"#;

#[test]
fn what_is_left_out_has_its_documented_default() {
    let config = parse("{ name: a, address: '127.0.0.1:0', auth: insecure_query }");
    assert_eq!(config.websocket, parse(DESIGN).websocket);
    assert_eq!(config.timeouts, parse(DESIGN).timeouts);
    assert_eq!(config.admission.max_links, 100_000);
    assert_eq!((config.form, config.backlog), (FormChoice::Any, 1024));
    assert_eq!(Nacks::from(config.legacy_nacks), Nacks::Sent);
}

#[test]
fn second_login_is_a_word_or_a_number() {
    assert_eq!(read("replace"), Ok(SecondLogin::Replace));
    assert_eq!(read("reject"), Ok(SecondLogin::Reject));
    assert_eq!(read("{ allow: 3 }"), Ok(SecondLogin::Allow(3)));
    assert!(
        read::<SecondLogin>("{ alow: 3 }")
            .unwrap_err()
            .to_string()
            .contains("allow")
    );
}

#[test]
fn what_cannot_be_read_is_told_at_its_place() {
    let yaml = r"
name: a
address: localhost
auth: { jwt: [{ issuer: a, biz_id: [b], algorithm: HS1 }] }
trusted_proxies: [10.0.0.0/8, somewhere]
timeouts: { idle: 10 }
";
    let problems = read::<ListenerConfig>(yaml).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.to_string())
        .collect();
    for place in [
        "address",
        "auth.jwt[0].biz_id",
        "auth.jwt[0].algorithm",
        "trusted_proxies[1]",
        "timeouts.idle",
    ] {
        assert!(
            places.iter().any(|p| p == place),
            "{place} is not among {places:?}"
        );
    }
    let auth = read::<AuthConfig>("insecure").unwrap_err().to_string();
    assert!(auth.contains("insecure_query"), "{auth}");
}

#[test]
fn a_network_is_a_prefix_or_an_address() {
    let inside = |network: &str, address: &str| {
        network
            .parse::<Network>()
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(inside("10.0.0.0/8", "10.1.2.3") && !inside("10.0.0.0/8", "11.0.0.1"));
    assert!(inside("192.0.2.7", "192.0.2.7") && !inside("192.0.2.7", "192.0.2.8"));
    assert!(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!("10.0.0.0/33".parse::<Network>().is_err());
}

#[test]
fn the_schema_tells_both_forms_of_auth_and_of_second_login() {
    let schema = serde_json::to_string(&schemars::schema_for!(ListenerConfig)).unwrap();
    for part in [
        "insecure_query",
        "\"jwt\"",
        "\"allow\"",
        "\"replace\"",
        "links_per_second",
    ] {
        assert!(schema.contains(part), "{part}");
    }
}
