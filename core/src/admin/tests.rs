//! Who may ask what of the admin address, by which name, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use linkgate_filter::problem::Problems;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::network::Network;
use crate::reception::{ConnectionLimits, ReceptionMetrics};

const READER: &str = "reader-0123456789";
const OPERATOR: &str = "operator-0123456789";

struct House {
    address: SocketAddr,
    metrics: ReceptionMetrics,
    _stop: tokio_util::sync::DropGuard,
}

fn read(yaml: &str) -> AdminConfig {
    serde_yaml::from_str(yaml).unwrap()
}

fn guarded() -> AdminConfig {
    read(&format!(
        "{{ address: '127.0.0.1:0', hosts: [Gateway.internal], auth: [{{ token: {READER} }}, \
         {{ token: {OPERATOR}, scopes: [operate] }}] }}"
    ))
}

fn serve(config: &AdminConfig) -> House {
    let metrics = ReceptionMetrics::default();
    let server = AdminServer::bind(config, (&Network::System, &metrics)).unwrap();
    let address = server.local_address().unwrap();
    let admin = Arc::new(Admin::new(Registry::default()));
    let count = post(|body: axum::body::Bytes| async move { body.len().to_string() });
    let more = Router::new()
        .route("/v1/plan", count.clone().layer(DefaultBodyLimit::disable()))
        .route("/v1/push", count.layer(DefaultBodyLimit::disable()));
    let stop = CancellationToken::new();
    tokio::spawn(server.run(admin, more, stop.clone()));
    House {
        address,
        metrics,
        _stop: stop.drop_guard(),
    }
}

impl House {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Asks over a connection of its own; gives the status.
    async fn ask(&self, line: &str, headers: &str) -> u16 {
        let mut stream = self.connect().await;
        ask_over(&mut stream, line, headers).await
    }

    async fn counts(&self, end: &str) {
        let counted = async {
            while !self.metrics.text().lines().any(|line| line.ends_with(end)) {
                tokio::task::yield_now().await;
            }
        };
        let counted = timeout(Duration::from_secs(20), counted).await;
        counted.unwrap_or_else(|_| panic!("not {end}: {}", self.metrics.text()));
    }
}

async fn ask_over(stream: &mut TcpStream, line: &str, headers: &str) -> u16 {
    let request = format!("{line} HTTP/1.1\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    status(stream).await
}

async fn status(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    let read = timeout(Duration::from_secs(20), stream.read_exact(&mut head)).await;
    read.expect("an answer").unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    end.is_ok()
}

#[tokio::test]
async fn reading_and_operating_need_their_scopes_and_probes_need_none() {
    let house = serve(&guarded());
    let with = |token: &str| format!("host: localhost\r\nauthorization: Bearer {token}\r\n");
    let nobody = "host: localhost\r\n".to_owned();
    for (line, headers, status) in [
        ("GET /healthz", &nobody, 200),
        ("GET /readyz", &nobody, 503),
        ("GET /metrics", &nobody, 401),
        ("GET /metrics", &with("not-the-token-at-all"), 401),
        ("GET /metrics", &with(READER), 200),
        ("GET /metrics", &with(OPERATOR), 403),
        ("POST /v1/plan", &nobody, 401),
        ("POST /v1/plan", &with(READER), 403),
        ("POST /v1/plan", &with(OPERATOR), 200),
        // Its source asks for itself.
        ("POST /v1/push", &nobody, 200),
    ] {
        assert_eq!(house.ask(line, headers).await, status, "{line} {headers}");
    }
    house.counts("reason=\"unknown\"} 5").await;
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_not_answered() {
    let open = serve(&read(
        "{ address: '127.0.0.1:0', hosts: [Gateway.internal] }",
    ));
    for (host, status) in [
        ("host: localhost\r\n", 200),
        ("host: LOCALHOST:9901\r\n", 200),
        ("host: 127.0.0.1:9901\r\n", 200),
        ("host: 10.0.0.7\r\n", 200),
        ("host: [::1]:9901\r\n", 200),
        ("host: gateway.internal:9901\r\n", 200),
        ("host: rebound.example\r\n", 421),
        ("host: localhost.example:9901\r\n", 421),
        ("host: 127.0.0.1.example\r\n", 421),
        ("host: localhost\r\nhost: rebound.example\r\n", 421),
        ("", 421),
    ] {
        assert_eq!(open.ask("GET /metrics", host).await, status, "{host}");
    }
    let probe = open.ask("GET /healthz", "host: rebound.example\r\n").await;
    assert_eq!(probe, 200, "a probe learns nothing");
}

#[tokio::test]
async fn silent_connections_keep_no_operator_out() {
    let house = serve(&guarded());
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(house.connect().await);
    }
    let headers = format!("host: localhost\r\nauthorization: Bearer {READER}\r\n");
    assert_eq!(house.ask("GET /metrics", &headers).await, 200);
    assert!(is_closed(&mut silent[0]).await);
    let probe = "host: localhost\r\n";
    assert_eq!(house.ask("GET /healthz", probe).await, 200);
}

#[tokio::test]
async fn connections_without_requests_are_closed_in_time() {
    let soon = Duration::from_millis(100).into();
    let config = AdminConfig {
        connections: ConnectionLimits {
            handshake: soon,
            idle: soon,
            ..ConnectionLimits::default()
        },
        ..AdminConfig::at("127.0.0.1:0".parse().unwrap())
    };
    let house = serve(&config);
    let (mut silent, mut idle) = (house.connect().await, house.connect().await);
    let mut slow = house.connect().await;
    slow.write_all(b"GET /metr").await.unwrap();
    let asked = ask_over(&mut idle, "GET /metrics", "host: localhost\r\n").await;
    assert_eq!(asked, 200);
    for stream in [&mut silent, &mut idle, &mut slow] {
        assert!(is_closed(stream).await);
    }
    house.counts("who=\"caller\"} 0").await;
}

#[tokio::test]
async fn a_body_costs_what_has_come_of_it_and_not_for_ever() {
    let config = AdminConfig {
        connections: ConnectionLimits {
            request: Duration::from_millis(300).into(),
            unfinished: linkgate_filter::units::ByteSize::kib(100),
            ..ConnectionLimits::default()
        },
        ..AdminConfig::at("127.0.0.1:0".parse().unwrap())
    };
    let house = serve(&config);
    let mut promised = house.connect().await;
    promised
        .write_all(
            b"POST /v1/plan HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000000\r\n\r\n12345",
        )
        .await
        .unwrap();
    house.counts("} 5").await;
    assert_eq!(status(&mut promised).await, 408);
    let mut large = house.connect().await;
    large
        .write_all(b"POST /v1/plan HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n")
        .await
        .unwrap();
    large.write_all(&[b'x'; 60_000]).await.unwrap();
    assert_eq!(
        status(&mut large).await,
        503,
        "one connection may have half"
    );
    house
        .counts(&format!("address=\"{}\"}} 0", house.address))
        .await;
    let whole = "host: localhost\r\ncontent-length: 5\r\n\r\n12345";
    let mut stream = house.connect().await;
    let request = format!("POST /v1/plan HTTP/1.1\r\n{whole}");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&mut stream).await, 200);
}

#[test]
fn an_address_that_others_reach_needs_operators() {
    let said = |yaml: &str| {
        let mut problems = Problems::new();
        read(yaml).check(&mut problems);
        problems.to_string()
    };
    assert!(said("{ address: '0.0.0.0:9901' }").contains("add `auth:"));
    assert!(said("{ address: '10.0.0.7:9901', auth: [] }").contains("add `auth:"));
    let token = format!("{{ token: {READER} }}");
    assert_eq!(
        said(&format!("{{ address: '0.0.0.0:9901', auth: {token} }}")),
        ""
    );
    assert_eq!(said("{ address: '[::1]:9901' }"), "");
    assert!(said("{ address: '127.0.0.1:1', auth: { token: short } }").contains("guessed"));
    assert!(said("{ address: '127.0.0.1:1', auth: { client_cert: ops } }").contains("client_ca"));
    assert!(said("{ address: '127.0.0.1:1', hosts: ['a:1'] }").contains("no name of a host"));
}

#[tokio::test]
async fn readiness_says_what_is_wrong_and_fails_where_that_is_asked_for() {
    let admin = Arc::new(Admin::new(Registry::default()));
    let said = async || {
        let (status, body) = readyz(State(Arc::clone(&admin))).await;
        (status.as_u16(), body)
    };
    assert_eq!(said().await, (503, "starting\n".to_owned()));
    admin.enter(Phase::Serving);
    assert_eq!(said().await, (200, "ready\n".to_owned()));
    let reasons = admin.reasons();
    let (small, large) = (reasons.reason(false), reasons.reason(true));
    small.holds("a small one");
    assert_eq!(
        said().await,
        (200, "ready\nignored: a small one\n".to_owned())
    );
    large.holds("a large one");
    let both = "not ready\na large one\nignored: a small one\n".to_owned();
    assert_eq!(said().await, (503, both));
    drop((small, large));
    assert_eq!(said().await, (200, "ready\n".to_owned()));
    for (phase, name) in [
        (Phase::Draining, "draining\n"),
        (Phase::Stopping, "stopping\n"),
    ] {
        admin.enter(phase);
        assert_eq!(said().await, (503, name.to_owned()));
        assert!(!admin.is_ready());
    }
}
