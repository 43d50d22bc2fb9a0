//! Handshakes that take their time, and who else gets one meanwhile.

use tokio::net::TcpSocket;

use super::*;

/// A connection from this address on loopback.
async fn from(site: &Site, source: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(source.parse().unwrap(), 0))
        .unwrap();
    socket.connect(site.address).await.unwrap()
}

/// The first line of what a client that sends this gets.
async fn first_line(stream: TcpStream, bytes: &str) -> String {
    let mut stream = stream;
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The listener has accepted all that came so far and waits for them.
async fn until_idle(site: &Site, source: &str) {
    let stream = from(site, source).await;
    let nothing = answer_to(stream, b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
}

#[tokio::test]
async fn handshakes_in_progress_are_bounded_and_the_rest_waits() {
    let site = Site::open("admission: { max_handshakes: 1 }\ntimeouts: { handshake: 300ms }").await;
    let idle = site.connect().await;
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
    assert_eq!(
        site.refused(Refusal::Timeout),
        1,
        "it waited until the idle one was cut"
    );
    drop(idle);
}

#[tokio::test]
async fn one_address_cannot_hold_all_handshakes() {
    let site = Site::open("admission: { per_ip: 2, retry_after: 10s }").await;
    let _idle = (site.connect().await, site.connect().await);
    let answer = site.ask(b"").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // Between the least and twice that, so that not all come back at once.
    let after = answer.split("\r\nretry-after: ").nth(1).unwrap();
    let seconds: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
    assert!((10..=20).contains(&seconds), "{answer}");
    site.until_refused(Refusal::HandshakesPerIp, 1).await;
}

#[tokio::test]
async fn an_address_has_a_share_of_the_handshakes() {
    let site = Site::open("admission: { max_handshakes: 32 }").await;
    let _idle = (site.connect().await, site.connect().await);
    until_idle(&site, "127.0.0.2").await;
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 503");
    site.until_refused(Refusal::HandshakesPerIp, 1).await;
    let other = from(&site, "127.0.0.2").await;
    assert_eq!(
        first_line(other, &handshake(GOOD, &[])).await,
        "HTTP/1.1 101"
    );
}

#[tokio::test]
async fn a_network_of_addresses_has_a_share_of_the_handshakes() {
    let site = Site::open("admission: { max_handshakes: 32 }").await;
    let mut silent = Vec::new();
    for address in 1..=4 {
        for _ in 0..2 {
            silent.push(from(&site, &format!("127.0.0.{address}")).await);
        }
    }
    until_idle(&site, "127.0.1.1").await;
    let neighbour = from(&site, "127.0.0.200").await;
    assert_eq!(
        first_line(neighbour, &handshake(GOOD, &[])).await,
        "HTTP/1.1 503"
    );
    site.until_refused(Refusal::HandshakesPerNetwork, 1).await;
    let other = from(&site, "127.0.1.1").await;
    assert_eq!(
        first_line(other, &handshake(GOOD, &[])).await,
        "HTTP/1.1 101"
    );
}

#[tokio::test]
async fn silent_sockets_from_a_few_addresses_delay_nobody() {
    let site = Site::open("admission: { max_handshakes: 64 }").await;
    let mut silent = Vec::new();
    for address in ["127.0.1.1", "127.0.2.1", "127.0.2.2", "127.0.3.1"] {
        for _ in 0..40 {
            silent.push(from(&site, address).await);
        }
    }
    let start = Instant::now();
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_share_can_be_set_and_is_at_most_that_of_links() {
    for (admission, share) in [
        ("{}", (64, 256)),
        ("{ max_handshakes: 3 }", (1, 1)),
        ("{ per_ip: 2 }", (2, 256)),
        ("{ per_ip: 10000 }", (64, 256)),
        ("{ per_ip: 2, handshakes_per_ip: 500 }", (500, 500)),
        ("{ handshakes_per_network: 100 }", (64, 100)),
    ] {
        let config = config(&format!("admission: {admission}")).admission;
        let shares = (config.handshakes_of_one(), config.handshakes_of_network());
        assert_eq!(shares, share, "{admission}");
    }
}

#[tokio::test]
async fn a_proxy_that_names_its_clients_gives_each_a_share() {
    let listener =
        "proxy_protocol: v1\ntrusted_proxies: [127.0.0.1]\nadmission: { max_handshakes: 32 }";
    let site = Site::open(listener).await;
    let header = |client: &str| format!("PROXY TCP4 {client} 10.0.0.9 5000 80\r\n");
    let slow = async |client: &str| {
        let mut stream = site.connect().await;
        stream.write_all(header(client).as_bytes()).await.unwrap();
        stream
    };
    let _idle = (slow("198.51.100.1").await, slow("198.51.100.1").await);
    // Connections of the proxy itself, which say nothing, are nobody's.
    let _silent = (
        site.connect().await,
        site.connect().await,
        site.connect().await,
    );
    until_idle(&site, "127.0.0.2").await;
    let good = |client: &str| header(client) + &handshake(GOOD, &[]);
    let eve = first_line(site.connect().await, &good("198.51.100.1")).await;
    assert_eq!(eve, "HTTP/1.1 503");
    let ann = first_line(site.connect().await, &good("198.51.100.2")).await;
    assert_eq!(ann, "HTTP/1.1 101");
}

#[tokio::test]
async fn a_proxy_that_names_its_clients_in_the_request_has_no_share() {
    let site = Site::open("trusted_proxies: [127.0.0.1]\nadmission: { max_handshakes: 8 }").await;
    let mut silent = Vec::new();
    for _ in 0..7 {
        silent.push(site.connect().await);
    }
    let forwarded = "X-Forwarded-For: 198.51.100.1";
    assert_eq!(status(&site, &[forwarded]).await, "HTTP/1.1 101");
}

#[tokio::test]
async fn who_is_refused_and_stays_holds_no_handshake() {
    let site = Site::open("admission: { max_handshakes: 1 }").await;
    let began = Instant::now();
    let mut stay = Vec::new();
    for _ in 0..5 {
        let mut stream = site.connect().await;
        stream
            .write_all(handshake("/other", &[]).as_bytes())
            .await
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        stay.push(stream);
    }
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(site.door.load().farewells.held(), 1, "the others are gone");
}
