use linkgate_filter::problem::deserialize;

use super::*;

fn check(yaml: &str) -> Result<PushConfig, String> {
    let value = serde_yaml::from_str(yaml).expect("a YAML value");
    let checked = deserialize::<PushConfig>(&value).and_then(|config| {
        let mut problems = Problems::new();
        config.limits.check(&mut problems);
        for source in &config.sources {
            source.check(&mut problems);
        }
        problems.into_result(config)
    });
    checked.map_err(|problems| problems.to_string())
}

fn source(yaml: &str) -> Result<GrpcSource, String> {
    let config = check(&format!("{{ sources: [{{ grpc: {yaml} }}] }}"))?;
    Ok(config.sources[0].grpc.clone().expect("a gRPC source"))
}

#[test]
fn an_address_is_enough_on_loopback() {
    let read = source("{ address: 127.0.0.1:9902 }").unwrap();
    assert_eq!(read, GrpcSource::at("127.0.0.1:9902".parse().unwrap()));
    assert_eq!(check("{}").unwrap(), PushConfig::default());
}

#[test]
fn callers_come_alone_or_in_a_list() {
    let caller = "{ token: 0123456789abcdef, biz_ids: [chat] }";
    let one = source(&format!("{{ address: 0.0.0.0:9902, auth: {caller} }}")).unwrap();
    let list = source(&format!("{{ address: 0.0.0.0:9902, auth: [{caller}] }}")).unwrap();
    assert_eq!(one, list);
    assert_eq!(one.auth[0].biz_ids, ["chat"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    for (yaml, said) in [
        ("{}", "`address` is missing"),
        ("{ address: 0.0.0.0:9902 }", "everybody who reaches"),
        ("{ address: 127.0.0.1:1, max_inflight: 3 }", "max_inflight"),
        (
            "{ address: 127.0.0.1:1, max_in_flight: 0 }",
            "max_in_flight: 0 would let",
        ),
        (
            "{ address: 127.0.0.1:1, max_in_flight: 100000 }",
            "open several streams",
        ),
        (
            "{ address: 127.0.0.1:1, max_message: 1GiB }",
            "max_message: 1GiB",
        ),
        ("{ address: 127.0.0.1:1, keep_alive: 0s }", "keep_alive"),
        (
            "{ address: 127.0.0.1:1, auth: { biz_ids: [a] } }",
            "auth[0]: nothing says how",
        ),
        (
            "{ address: 127.0.0.1:1, auth: { token: short, biz_ids: [a] } }",
            "openssl rand",
        ),
        (
            "{ address: 127.0.0.1:1, auth: { token: \"0123456789 abcdef\", biz_ids: [a] } }",
            "a header cannot carry",
        ),
        (
            "{ address: 127.0.0.1:1, auth: { token: 0123456789abcdef, biz_ids: [] } }",
            "auth[0].biz_ids",
        ),
        (
            "{ address: 127.0.0.1:1, auth: { client_cert: chat, biz_ids: [a] } }",
            "add `tls: { cert, key, client_ca }`",
        ),
        (
            "{ address: 127.0.0.1:1, tls: { cert: a.pem, key: b.pem } }",
            "write `key: \"${file:tls/key.pem}\"`",
        ),
    ] {
        let problems = source(yaml).map(|_| ()).expect_err(yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
    let limits = check("{ limits: { unsettled: 0, unsettled_per_biz: 0, max_wait: 2d } }");
    let problems = limits.map(|_| ()).unwrap_err();
    for said in ["unsettled: 0", "unsettled_per_biz", "max_wait: 2d"] {
        assert!(problems.contains(said), "{problems}");
    }
}

#[test]
fn no_secret_shows_in_problems() {
    let yaml = "{ address: 127.0.0.1:1, auth: [{ token: hunter2, biz_ids: [] }], \
                tls: { cert: hunter2, key: hunter2 } }";
    let problems = source(yaml).map(|_| ()).unwrap_err();
    assert!(!problems.contains("hunter2"), "{problems}");
}
