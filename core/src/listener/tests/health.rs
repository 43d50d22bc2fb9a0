//! The health, as balancers ask for it on the port that serves.

use super::*;

async fn asked(site: &Site, request: &str) -> String {
    site.ask(request.as_bytes()).await
}

#[tokio::test]
async fn balancers_are_told_on_the_port_that_serves() {
    let site = Site::open("health: /healthz").await;
    // Those of clouds, of HAProxy and keepalived, and of a person with curl.
    let questions = [
        "GET /healthz HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /healthz?from=lb HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n",
    ];
    for question in questions {
        let answer = asked(&site, question).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
    }
    let head = asked(&site, "HEAD /healthz HTTP/1.1\r\nHost: lb\r\n\r\n").await;
    assert!(
        head.contains("content-length: 6\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    site.desk.ready.store(false, Ordering::Relaxed);
    for question in questions {
        let answer = asked(&site, question).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    let door = site.door.load();
    while door.counters.health_checks.get() < 9 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let refused = Refusal::ALL.map(|refusal| site.refused(refusal));
    assert_eq!(refused.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn where_no_path_is_named_nothing_is_told() {
    let site = Site::open("").await;
    let answer = asked(&site, "GET /healthz HTTP/1.1\r\nHost: lb\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let site = Site::open("health: /healthz").await;
    let answer = asked(&site, "POST /healthz HTTP/1.1\r\nHost: lb\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
}

#[tokio::test]
async fn who_asks_for_the_health_has_a_share_of_the_handshakes_too() {
    let site = Site::open("health: /healthz\nadmission: { handshakes_per_ip: 1 }").await;
    let _silent = site.connect().await;
    let answer = asked(&site, "GET /healthz HTTP/1.1\r\nHost: lb\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}
