//! Handshakes as clients send them, as proxies in front pass them on, and as nobody should.

use super::*;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

async fn answer(site: &Site, lines: &[&str]) -> String {
    let head = lines.join("\r\n") + "\r\n\r\n";
    let mut stream = site.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = vec![0; 12];
    stream.read_exact(&mut status).await.unwrap();
    String::from_utf8(status).unwrap()
}

/// The request line of a good client.
fn get() -> String {
    format!("GET {GOOD} HTTP/1.1")
}

#[tokio::test]
async fn what_clients_and_proxies_send_opens_a_link() {
    let mut site = Site::open("trusted_proxies: [127.0.0.1]").await;
    let get = get();
    let absolute = format!("GET http://chat.example:8080{GOOD} HTTP/1.1");
    let (host, version) = ("Host: chat.example", "Sec-WebSocket-Version: 13");
    let (connection, upgrade) = ("Connection: Upgrade", "Upgrade: websocket");
    let cases: &[(&str, &[&str])] = &[
        (
            "chrome",
            &[
                &get,
                host,
                "Connection: Upgrade",
                "Pragma: no-cache",
                "Cache-Control: no-cache",
                "User-Agent: Mozilla/5.0",
                upgrade,
                "Origin: https://chat.example",
                version,
                "Accept-Encoding: gzip, deflate, br",
                "Accept-Language: en-US,en;q=0.9",
                KEY,
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            ],
        ),
        (
            "firefox",
            &[
                &get,
                host,
                "Accept: */*",
                version,
                "Origin: https://chat.example",
                "Sec-WebSocket-Extensions: permessage-deflate",
                KEY,
                "Connection: keep-alive, Upgrade",
                "Sec-Fetch-Mode: websocket",
                upgrade,
            ],
        ),
        (
            "safari",
            &[
                &get,
                host,
                upgrade,
                connection,
                version,
                KEY,
                "Sec-WebSocket-Extensions: x-webkit-deflate-frame",
                "Sec-WebSocket-Extensions: permessage-deflate",
                "Sec-Fetch-Site: same-site",
                "Sec-Fetch-Dest: websocket",
            ],
        ),
        (
            "okhttp",
            &[
                &get,
                "Upgrade: websocket",
                connection,
                KEY,
                version,
                "Sec-WebSocket-Extensions: permessage-deflate",
                host,
                "Accept-Encoding: gzip",
                "User-Agent: okhttp/4.12.0",
            ],
        ),
        (
            "nginx",
            &[
                &get,
                "Upgrade: websocket",
                "Connection: upgrade",
                "Host: linkgate_upstream",
                "X-Real-IP: 198.51.100.7",
                "X-Forwarded-For: 198.51.100.7",
                version,
                KEY,
            ],
        ),
        (
            "alb",
            &[
                &get,
                "X-Forwarded-For: 198.51.100.7",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Port: 443",
                "Host: chat.example:443",
                "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678",
                "sec-websocket-version: 13",
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
                "connection: upgrade",
                "upgrade: websocket",
            ],
        ),
        (
            "cloudflare",
            &[
                &get,
                host,
                "CF-RAY: 8f0c-FRA",
                "CF-Connecting-IP: 2001:db8::1",
                "X-Forwarded-For: 2001:db8::1",
                "CF-Visitor: {\"scheme\":\"https\"}",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Accept-Encoding: gzip, br",
                version,
                KEY,
            ],
        ),
        (
            "envoy and istio",
            &[
                &get,
                "host: chat.example",
                "connection: Upgrade",
                "upgrade: WebSocket",
                "x-forwarded-proto: http",
                "x-request-id: a",
                "content-length: 0",
                "sec-websocket-version: 13",
                KEY,
            ],
        ),
        (
            "a forward proxy",
            &[
                &absolute,
                host,
                "Proxy-Connection: keep-alive",
                "Via: 1.1 squid",
                connection,
                upgrade,
                version,
                KEY,
            ],
        ),
        (
            "lists over several lines",
            &[
                &get,
                host,
                "Connection: keep-alive",
                connection,
                "Upgrade: h2c",
                upgrade,
                version,
                KEY,
            ],
        ),
        (
            "lists in one line",
            &[
                &get,
                host,
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c,websocket",
                version,
                KEY,
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            ],
        ),
        (
            "several versions",
            &[
                &get,
                host,
                connection,
                upgrade,
                "Sec-WebSocket-Version: 8",
                version,
                KEY,
            ],
        ),
        (
            "subprotocols over several lines",
            &[
                &get,
                host,
                connection,
                upgrade,
                version,
                KEY,
                "Sec-WebSocket-Protocol: linkgate.token.a.b.c",
                "Sec-WebSocket-Protocol: linkgate.v1.json",
            ],
        ),
        (
            "an address of IPv6",
            &[
                &get,
                "Host: [2001:db8::7]:8080",
                connection,
                upgrade,
                version,
                KEY,
            ],
        ),
    ];
    for (who, lines) in cases {
        assert_eq!(answer(&site, lines).await, "HTTP/1.1 101", "{who}");
        site.links.recv().await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_should_send_is_refused() {
    let site = Site::open("").await;
    let get = get();
    let rest = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        KEY,
    ];
    let old = get.replace("HTTP/1.1", "HTTP/1.0");
    let cases: &[(&str, &[&str], Refusal)] = &[
        ("no host", &[&get], Refusal::Host),
        ("two hosts", &[&get, "Host: a", "Host: b"], Refusal::Host),
        (
            "the same host twice",
            &[&get, "Host: a", "Host: a"],
            Refusal::Host,
        ),
        ("hosts as a list", &[&get, "Host: a,b"], Refusal::Host),
        ("an empty host", &[&get, "Host:"], Refusal::Host),
        ("a host with a user", &[&get, "Host: eve@a"], Refusal::Host),
        ("a host with a path", &[&get, "Host: a/b"], Refusal::Host),
        (
            "chunks",
            &[&get, "Host: a", "Transfer-Encoding: chunked"],
            Refusal::Body,
        ),
        (
            "no chunks",
            &[&get, "Host: a", "Transfer-Encoding: identity"],
            Refusal::Body,
        ),
        (
            "a body",
            &[&get, "Host: a", "Content-Length: 5"],
            Refusal::Body,
        ),
        (
            "two lengths",
            &[&get, "Host: a", "Content-Length: 0", "Content-Length: 5"],
            Refusal::Body,
        ),
        ("two keys", &[&get, "Host: a", KEY], Refusal::Malformed),
        (
            "two tokens",
            &[
                &get,
                "Host: a",
                "Authorization: Bearer a",
                "Authorization: Bearer b",
            ],
            Refusal::Malformed,
        ),
        (
            "a proxy of HTTP/1.0",
            &[&old, "Host: a"],
            Refusal::HttpVersion,
        ),
        (
            "a proxy of HTTP/1.0 without a host",
            &[&old],
            Refusal::HttpVersion,
        ),
    ];
    for (who, lines, refusal) in cases {
        let before = site.refused(*refusal);
        let head = [*lines, &rest].concat().join("\r\n") + "\r\n\r\n";
        let told = site.ask(head.as_bytes()).await;
        let (status, text) = refusal.answer().unwrap();
        assert!(
            told.starts_with(&format!("HTTP/1.1 {}", status.as_u16())),
            "{who}: {told}"
        );
        assert!(
            told.ends_with(&format!("\r\n\r\n{text}\n")),
            "{who}: {told}"
        );
        site.until_refused(*refusal, before + 1).await;
    }
}

#[tokio::test]
async fn a_line_that_is_no_list_element_opens_nothing() {
    let site = Site::open("").await;
    let get = get();
    for (connection, upgrade) in [
        ("Connection: keep-alive", "Upgrade: websocket"),
        ("Connection: close", "Upgrade: websocket"),
        ("Connection: Upgraded", "Upgrade: websocket"),
        ("Connection: Upgrade", "Upgrade: h2c"),
        ("Connection: Upgrade", "Upgrade: websocket2"),
    ] {
        let lines = [
            &get,
            "Host: a",
            connection,
            upgrade,
            "Sec-WebSocket-Version: 13",
            KEY,
        ];
        assert_eq!(
            answer(&site, &lines).await,
            "HTTP/1.1 426",
            "{connection} {upgrade}"
        );
    }
}
