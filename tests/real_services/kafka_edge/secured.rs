//! TLS and passwords, both ways.

use linkgate_filter::broker::Event;

use super::{Member, broker, record, stored, subscription, write};
use crate::common::tls::Authority;
use crate::common::wait::within;
use crate::services::Kafka;
use crate::services::kafka::{PASSWORD, USER};

#[tokio::test]
async fn tls_and_each_kind_of_password_let_in_and_nothing_else_does() {
    let authority = Authority::new();
    let Some(kafka) = Kafka::start_with(Some(&authority)).await else {
        return;
    };
    let address = kafka.secured();
    Kafka::topic(kafka.address(), "t", 1).await;
    let file = |name| authority.file(name);
    let tls = format!(
        "tls: {{ ca: {}, cert: {}, key: {} }}",
        file("ca.pem"),
        file("cert.pem"),
        file("key.pem")
    );
    let sasl = |mechanism: &str, password: &str| {
        format!("sasl: {{ mechanism: {mechanism}, username: {USER}, password: {password} }}")
    };
    for (begin, mechanism) in (0..).zip(["plain", "scram-sha-256", "scram-sha-512"]) {
        let broker = broker(address, &format!("{tls}, {}", sasl(mechanism, PASSWORD)));
        write(&broker, "t", "k", 1).await;
        let mut member = Member::join(&broker, &subscription("t", mechanism));
        loop {
            match member.next().await {
                Event::Record(arrival) => {
                    assert_eq!(arrival.offset, 0, "after {begin} other records");
                    break;
                }
                Event::Failed(error) => panic!("{mechanism}: {error}"),
                _ => {}
            }
        }
        member.close().await;
    }
    let other = Authority::new();
    let stranger = format!("tls: {{ ca: {} }}", other.ca().display());
    for (what, settings) in [
        (
            "a wrong password",
            format!("{tls}, {}", sasl("plain", "guess")),
        ),
        ("no password", tls.clone()),
        (
            "no certificate",
            format!(
                "tls: {{ ca: {} }}, {}",
                file("ca.pem"),
                sasl("plain", PASSWORD)
            ),
        ),
        (
            "an unknown authority",
            format!("{stranger}, {}", sasl("plain", PASSWORD)),
        ),
        ("no TLS", sasl("plain", PASSWORD)),
    ] {
        let broker = broker(address, &format!("{settings}, timeout: 1500ms"));
        let said = stored(broker.send(record("t", "k", "v")).unwrap()).await;
        let error = said.expect_err(what);
        assert!(!error.to_string().contains(PASSWORD), "{error}");
        if what == "a wrong password" {
            let said = refused(&broker).await;
            assert!(said.contains("check `sasl`"), "{said}");
            assert!(!said.contains("guess"), "{said}");
        }
    }
}

/// What a member is told that is not let in.
async fn refused(broker: &std::sync::Arc<dyn linkgate_filter::broker::Broker>) -> String {
    let mut member = broker.subscribe(&subscription("t", "g")).unwrap();
    let failed = async {
        loop {
            if let Event::Failed(error) = member.next().await {
                return error.to_string();
            }
        }
    };
    within("a word of the brokers", failed).await
}
