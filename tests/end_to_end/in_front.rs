//! What stands in front of a link: TLS, and proxies that say whom they speak for.

use std::net::Ipv4Addr;
use std::path::Path;

use linkgate_client::{ConnectError, Target};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::common::client::{Answer, Client};
use crate::common::gateway::{Gateway, Setup};
use crate::common::process::Process;
use crate::common::raw::{CLOSE, FIN, PING, Raw, handshake, masked};
use crate::common::tls::Authority;
use crate::common::wait::within;

#[tokio::test]
async fn a_link_behind_tls_works_and_plain_text_is_refused_without_harm() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let setup = Setup {
        listener: &authority.listener(),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let target = |trusted: &Authority| Target {
        url: format!("wss://localhost:{}/ws", gateway.address().port()),
        tls: Some(trusted.trusting()),
        ..gateway.target("ann")
    };
    let mut ann = Client::connect(&target(&authority)).await;
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    let large = vec![b'x'; 60_000];
    assert_eq!(
        ann.ask("2", large.clone()).await,
        Answer::Ack(large.into()),
        "a message over many TLS records"
    );

    let plain = Client::try_connect(&gateway.target("bob")).await;
    let plain = plain.expect_err("plain text to a TLS listener");
    assert!(matches!(plain, ConnectError::NotHttp), "{plain}");
    let unknown = Client::try_connect(&target(&stranger)).await;
    let unknown = unknown.expect_err("a gateway that nobody vouches for");
    assert!(matches!(unknown, ConnectError::Certificate(_)), "{unknown}");
    gateway
        .counts("both are counted", |metrics| metrics.refused("tls") == 2)
        .await;
    assert_eq!(ann.ask("3", "still").await, Answer::Ack("still".into()));
    assert_eq!(gateway.metrics().await.links(), 1);
}

#[tokio::test]
async fn a_link_behind_tls_ends_as_tls_does() {
    let authority = Authority::new();
    let setup = Setup {
        listener: &format!("timeouts: {{ close: 60s }}, {}", authority.listener()),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let goodbye = masked(FIN | CLOSE, &1000_u16.to_be_bytes());
    for (bytes, code) in [(goodbye, 1000_u16), (masked(PING, b""), 1002)] {
        let tcp = Raw::connect(gateway.address()).await.0;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(authority.trusting());
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let request = handshake("/ws?biz_id=chat&user_id=ann", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the answer", stream.read_u8()).await.unwrap());
        }
        stream.write_all(&bytes).await.unwrap();
        let mut frame = Vec::new();
        // Without TLS's own goodbye this is an error: anybody might have cut the connection.
        within("the end", stream.read_to_end(&mut frame))
            .await
            .unwrap();
        assert_eq!(frame[0], FIN | CLOSE);
        assert_eq!(frame[2..4], code.to_be_bytes());
    }
}

/// One whose proxies are on loopback, and that takes one link of each address.
async fn behind(more: &str) -> Gateway {
    let listener = format!("trusted_proxies: [127.0.0.0/8], admission: {{ per_ip: 1 }}{more}");
    let setup = Setup {
        listener: &listener,
        ..Setup::default()
    };
    setup.start().await
}

/// The connection of `user` whose first bytes are `front`, and the first line of the answer; empty if there is none.
async fn asks(gateway: &Gateway, front: &[u8], user: &str, more: &str) -> (Raw, String) {
    let mut raw = Raw::connect(gateway.address()).await;
    let path = format!("/ws?biz_id=chat&user_id={user}");
    let request = handshake(&path, more);
    raw.write(&[front, request.as_bytes()].concat()).await;
    let head = raw.head().await;
    let first = head.lines().next().unwrap_or_default().to_owned();
    (raw, first)
}

fn v1(client: [u8; 4]) -> Vec<u8> {
    let client = Ipv4Addr::from(client);
    format!("PROXY TCP4 {client} 10.0.0.9 5000 80\r\n").into_bytes()
}

fn v2(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    // PROXY in version 2, TCP over IPv4, 12 bytes: two addresses, two ports.
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(client);
    header.extend([10, 0, 0, 9, 0x13, 0x88, 0, 80]);
    header
}

const HERE: [u8; 4] = [198, 51, 100, 7];
const THERE: [u8; 4] = [198, 51, 100, 8];

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols";
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable";

#[tokio::test]
async fn a_proxy_header_says_whose_link_counts() {
    for (version, header) in [("v1", v1 as fn([u8; 4]) -> Vec<u8>), ("v2", v2)] {
        let gateway = behind(&format!(", proxy_protocol: {version}")).await;
        let (ann, first) = asks(&gateway, &header(HERE), "ann", "").await;
        assert_eq!(first, SWITCHED, "{version}");
        let (_, first) = asks(&gateway, &header(HERE), "bob", "").await;
        assert_eq!(first, TOO_MANY, "{version}: the address has its link");
        let (_carol, first) = asks(&gateway, &header(THERE), "carol", "").await;
        assert_eq!(first, SWITCHED, "{version}: another address");
        gateway
            .counts("the second of an address is refused", |metrics| {
                metrics.refused("per_ip") == 1
            })
            .await;
        drop(ann);
        gateway
            .counts("the link is gone", |metrics| metrics.links() == 1)
            .await;
        let (_bob, first) = asks(&gateway, &header(HERE), "bob", "").await;
        assert_eq!(first, SWITCHED, "{version}: its place is free again");
    }
}

#[tokio::test]
async fn a_malformed_proxy_header_is_refused_and_counted() {
    let no_addresses = [&v2(HERE)[..12], &[0x21, 0x11, 0, 0]].concat();
    let endless = [&v2(HERE)[..12], &[0x21, 0x11, 0xff, 0xff]].concat();
    let cases: [(&str, &[u8]); 7] = [
        ("v1", b""),
        ("v1", b"PROXY TCP4 198.51.100.700 10.0.0.9 5000 80\r\n"),
        ("v1", b"PROXY TCP4 198.51.100.7 10.0.0.9 5000 80 and no end of it, for longer than a header may be, which is 107 bytes"),
        ("v1", &v2(HERE)),
        ("v2", &v1(HERE)),
        ("v2", &no_addresses),
        ("v2", &endless),
    ];
    for (version, header) in cases {
        let gateway = behind(&format!(", proxy_protocol: {version}")).await;
        let (_, first) = asks(&gateway, header, "ann", "").await;
        assert_eq!(first, "", "{version} {}", header.escape_ascii());
        gateway
            .counts("the header is counted", |metrics| {
                metrics.refused("proxy_header") == 1
            })
            .await;
        let good = if version == "v1" { v1(HERE) } else { v2(HERE) };
        let (_ann, first) = asks(&gateway, &good, "ann", "").await;
        assert_eq!(first, SWITCHED, "{version}: the next one is served");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_in_x_forwarded_for_whose_link_counts() {
    let gateway = behind("").await;
    let by = |client: &str| format!("x-forwarded-for: {client}\r\n");
    let (_ann, first) = asks(&gateway, b"", "ann", &by("198.51.100.7")).await;
    assert_eq!(first, SWITCHED);
    // What stands before the right-most address is the client's own word.
    let (_, first) = asks(&gateway, b"", "bob", &by("198.51.100.8, 198.51.100.7")).await;
    assert_eq!(first, TOO_MANY);
    let (_carol, first) = asks(&gateway, b"", "carol", &by("198.51.100.8")).await;
    assert_eq!(first, SWITCHED);
    // The proxy's own links, such as health checks, are not counted for an address.
    let (_dave, first) = asks(&gateway, b"", "dave", "").await;
    let (_erin, second) = asks(&gateway, b"", "erin", &by("not an address")).await;
    assert_eq!([first, second], [SWITCHED; 2]);
    assert_eq!(gateway.metrics().await.refused("per_ip"), 1);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let setup = Setup {
        listener: "trusted_proxies: [10.0.0.0/8], proxy_protocol: any, admission: { per_ip: 1 }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let (_, first) = asks(&gateway, &v1(HERE), "ann", "").await;
    assert_eq!(first, "HTTP/1.1 400 Bad Request");
    let forwarded = "x-forwarded-for: 198.51.100.7\r\n";
    let (_ann, first) = asks(&gateway, b"", "ann", forwarded).await;
    assert_eq!(first, SWITCHED);
    let (_, first) = asks(&gateway, b"", "bob", "x-forwarded-for: 198.51.100.8\r\n").await;
    assert_eq!(first, TOO_MANY, "both come from loopback");
}

#[tokio::test]
async fn the_log_names_the_client_behind_the_proxy_and_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        listener: "trusted_proxies: [127.0.0.0/8]",
        ..Setup::default()
    };
    std::fs::write(folder.path().join("gateway.yaml"), setup.yaml()).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_linkgate"));
    let mut process = Process::start(program, folder.path(), &["run", "gateway.yaml"]);
    let address = process.address("accepting links").await;
    let mut raw = Raw::connect(address).await;
    let request = handshake("/other", "x-forwarded-for: 198.51.100.7\r\n");
    raw.write(request.as_bytes()).await;
    assert_eq!(
        raw.head().await.lines().next(),
        Some("HTTP/1.1 404 Not Found")
    );
    process.terminate();
    let (_, log) = process.exit().await;
    let line = log
        .iter()
        .find(|line| line.contains("refused a connection"));
    let line = line.unwrap_or_else(|| panic!("{log:#?}"));
    for part in ["client=198.51.100.7", "peer=127.0.0.1", "reason=\"path\""] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}
