//! Too many of something, and who is told so.

use super::*;

#[tokio::test]
async fn too_many_links_are_told_to_come_back_later() {
    let mut site = Site::open("admission: { max_links: 1, retry_after: 10s }").await;
    let _client = site.client(GOOD).await;
    let link = site.links.recv().await.unwrap();
    let answer = site.ask(handshake(GOOD, &[]).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let after = answer
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "))
        .unwrap();
    assert!(
        (10..=20).contains(&after.parse::<u64>().unwrap()),
        "{answer}"
    );
    site.until_refused(Refusal::MaxLinks, 1).await;
    drop(link);
    drop(site.client(GOOD).await);
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own() {
    let mut site = Site::open("admission: { per_ip: 1 }\ntrusted_proxies: [127.0.0.1]").await;
    let from = |ip: &str| format!("X-Forwarded-For: {ip}");
    assert_eq!(
        status(&site, &[&from("198.51.100.1")]).await,
        "HTTP/1.1 101"
    );
    let first = site.links.recv().await.unwrap();
    assert_eq!(first.peer.to_string(), "198.51.100.1");
    assert_eq!(
        status(&site, &[&from("198.51.100.1")]).await,
        "HTTP/1.1 503"
    );
    assert_eq!(
        status(&site, &[&from("203.0.113.9, 198.51.100.1")]).await,
        "HTTP/1.1 503"
    );
    assert_eq!(
        status(&site, &[&from("198.51.100.2")]).await,
        "HTTP/1.1 101"
    );
    site.until_refused(Refusal::PerIp, 2).await;
}

#[tokio::test]
async fn a_proxy_that_names_nobody_may_stand_for_many() {
    let mut site = Site::open("admission: { per_ip: 1 }\ntrusted_proxies: [127.0.0.1]").await;
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
    let _link = site.links.recv().await.unwrap();
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
}

#[tokio::test]
async fn an_untrusted_peer_cannot_take_another_address() {
    let mut site = Site::open("trusted_proxies: [10.0.0.0/8]").await;
    assert_eq!(
        status(&site, &["X-Forwarded-For: 198.51.100.1"]).await,
        "HTTP/1.1 101"
    );
    assert_eq!(
        site.links.recv().await.unwrap().peer,
        IpAddr::from([127, 0, 0, 1])
    );
}

#[tokio::test]
async fn a_business_has_the_limit_of_its_pipeline() {
    let mut site = Site::open("").await;
    *site.desk.quota.lock().unwrap() = Quota::new(1);
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 101");
    let _link = site.links.recv().await.unwrap();
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 503");
    site.until_refused(Refusal::BizLinks, 1).await;
}

#[tokio::test(start_paused = true)]
async fn new_links_have_a_pace_that_bad_requests_do_not_use_up() {
    let paced = "admission: { links_per_second: { initial: 2, step: 1, max: 3 } }";
    let door = Door::prepare(&config(paced), &ListenerMetrics::default(), &clock()).unwrap();
    let (links, _links) = mpsc::channel(1);
    let desk = Desk {
        links,
        quota: Mutex::new(Quota::unlimited()),
        ready: AtomicBool::new(true),
    };
    let eve = "/ws?biz_id=other&user_id=eve";
    let mut came = Vec::new();
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(
                in_memory(&door, &desk, eve).await.err(),
                Some(Refusal::BizUnknown)
            );
        }
        let mut count = 0;
        let refusal = loop {
            match in_memory(&door, &desk, GOOD).await {
                Ok(_) => count += 1,
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::Pace);
        came.push(count);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(came, [2, 3, 3]);
}

/// One handshake over a pipe, with a client that leaves as soon as it has its answer.
async fn in_memory(door: &Door, desk: &Desk, path: &str) -> Result<(), Refusal> {
    let (mut client, server) = tokio::io::duplex(4096);
    let (deadline, stop) = (
        Instant::now() + Duration::from_secs(5),
        CancellationToken::new(),
    );
    let ask = async {
        client
            .write_all(handshake(path, &[]).as_bytes())
            .await
            .unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        drop(client);
    };
    let peer = IpAddr::from([192, 0, 2, 1]);
    let upgrade = super::super::handshake::upgrade(door, desk, server, peer, deadline, &stop);
    let upgraded = tokio::join!(upgrade, ask).0;
    upgraded.map(drop).map_err(|no_link| match no_link.why {
        Why::Refused(refusal) => refusal,
        Why::Health => panic!("nobody asked for the health"),
    })
}

#[tokio::test]
async fn a_changed_config_holds_for_what_comes() {
    let mut site = Site::open("admission: { max_links: 1 }").await;
    let _client = site.client(GOOD).await;
    let _link = site.links.recv().await.unwrap();
    let control = Control(Arc::clone(&site.door));
    assert!(
        control
            .prepare(&config("websocket: { path: oops }"))
            .is_err()
    );
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 503", "nothing changed");
    let changed = config("admission: { max_links: 2 }\nwebsocket: { path: /new }");
    control.prepare(&changed).unwrap().make();
    // The loop that waits for a connection looks at the door for each one that comes.
    assert_eq!(status(&site, &[]).await, "HTTP/1.1 404");
    let _second = site.client("/new?biz_id=chat&user_id=ann").await;
    let _link = site.links.recv().await.unwrap();
    let third = site
        .ask(handshake("/new?biz_id=chat&user_id=ann", &[]).as_bytes())
        .await;
    assert!(
        third.starts_with("HTTP/1.1 503"),
        "the first link still counts: {third}"
    );
}
