//! Handshakes that take their time, and who else gets one meanwhile.

use super::*;

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
    assert!(answer.contains("\r\nretry-after: 1"), "{answer}");
    site.until_refused(Refusal::HandshakesPerIp, 1).await;
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
