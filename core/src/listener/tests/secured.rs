//! TLS and the PROXY protocol in front of the handshake.

use std::net::Ipv4Addr;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate for `localhost` and its key, in PEM, and a client that trusts it.
fn certificate() -> (String, String, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (
        made.cert.pem(),
        made.signing_key.serialize_pem(),
        TlsConnector::from(Arc::new(client)),
    )
}

fn tls_yaml(cert: &str, key: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    format!("tls: {{ cert: {}, key: {} }}", quoted(cert), quoted(key))
}

#[tokio::test]
async fn a_link_behind_tls_works() {
    let (cert, key, connector) = certificate();
    let mut site = Site::open(&tls_yaml(&cert, &key)).await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, site.connect().await).await.unwrap();
    let (mut client, _) = client_async(format!("wss://localhost{GOOD}"), stream)
        .await
        .unwrap();
    let mut link = site.links.recv().await.unwrap();
    client.send(Message::binary("hello")).await.unwrap();
    assert_eq!(
        link.socket.next().await.unwrap().unwrap(),
        Message::binary("hello")
    );
    link.socket.send(Message::binary("world")).await.unwrap();
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::binary("world")
    );
}

#[tokio::test]
async fn plain_text_to_a_tls_port_is_refused() {
    let (cert, key, _) = certificate();
    let site = Site::open(&tls_yaml(&cert, &key)).await;
    let mut stream = site.connect().await;
    stream
        .write_all(handshake(GOOD, &[]).as_bytes())
        .await
        .unwrap();
    site.until_refused(Refusal::Tls, 1).await;
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_a_problem() {
    let ((cert, key, _), (_, other, _)) = (certificate(), certificate());
    let told = |cert: &str, key: &str| {
        let mut problems = Problems::new();
        config(&tls_yaml(cert, key)).check_certificate(&mut problems);
        problems.to_string()
    };
    assert_eq!(told(&cert, &key), "");
    let mismatch = told(&cert, &other);
    assert!(
        mismatch.contains("tls.key") && mismatch.contains("together"),
        "{mismatch}"
    );
    let swapped = told(&key, &cert);
    assert!(
        swapped.contains("tls.cert") && swapped.contains("tls.key"),
        "{swapped}"
    );
    let secret_line = key.lines().nth(1).unwrap();
    assert!(
        ![mismatch, swapped, told("nowhere.pem", secret_line)]
            .concat()
            .contains(&secret_line[8..])
    );
}

const V1: &str = "PROXY TCP4 198.51.100.7 10.0.0.9 5000 80\r\n";

async fn link_from(site: &mut Site, header: &str) -> IpAddr {
    let mut stream = site.connect().await;
    stream
        .write_all((header.to_owned() + &handshake(GOOD, &[])).as_bytes())
        .await
        .unwrap();
    let link = site.links.recv().await.unwrap();
    drop(stream);
    link.peer
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let mut site = Site::open("proxy_protocol: any\ntrusted_proxies: [127.0.0.0/8]").await;
    assert_eq!(
        link_from(&mut site, V1).await,
        IpAddr::from([198, 51, 100, 7])
    );
    assert_eq!(
        link_from(&mut site, "PROXY UNKNOWN\r\n").await,
        IpAddr::from(Ipv4Addr::LOCALHOST)
    );
    let answer = site.ask(handshake(GOOD, &[]).as_bytes()).await;
    assert_eq!(answer, "", "a proxy that names nobody is not served");
    site.until_refused(Refusal::ProxyHeader, 1).await;
}

#[tokio::test]
async fn an_untrusted_peer_cannot_name_anybody() {
    let mut site = Site::open("proxy_protocol: v1\ntrusted_proxies: [10.0.0.0/8]").await;
    let answer = site
        .ask((V1.to_owned() + &handshake(GOOD, &[])).as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(
        link_from(&mut site, "").await,
        IpAddr::from(Ipv4Addr::LOCALHOST)
    );
}

#[tokio::test]
async fn a_slow_proxy_header_is_cut() {
    let site = Site::open(
        "proxy_protocol: any\ntrusted_proxies: [127.0.0.1]\ntimeouts: { handshake: 50ms }",
    )
    .await;
    assert_eq!(site.ask(b"PROXY TCP4 198.51").await, "");
    site.until_refused(Refusal::Timeout, 1).await;
}

#[tokio::test]
async fn who_has_too_many_handshakes_is_told_so_behind_tls_too() {
    let (cert, key, connector) = certificate();
    let admission = "\nadmission: { handshakes_per_ip: 1 }";
    let site = Site::open(&(tls_yaml(&cert, &key) + admission)).await;
    let _idle = site.connect().await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, site.connect().await).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
}
