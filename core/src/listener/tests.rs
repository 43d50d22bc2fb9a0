//! The listener over real sockets: what each kind of client gets, and what is left afterwards.

mod handshakes;
mod health;
mod in_front;
mod limits;
mod refusals;
mod secured;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::clock::SystemClock;

/// Serves the business `chat`, and hands each link to the test.
struct Desk {
    links: mpsc::Sender<Accepted<&'static str>>,
    quota: Mutex<Arc<Quota>>,
    ready: AtomicBool,
}

impl Handler for Desk {
    type Pipeline = &'static str;

    fn find(&self, listener: &str, biz_id: &str) -> Option<Offer<&'static str>> {
        let links = Arc::clone(&self.quota.lock().unwrap());
        (listener == "test" && biz_id == "chat").then_some(Offer {
            pipeline: "chat's",
            links,
        })
    }

    fn is_awaited(&self, biz_id: &str) -> bool {
        biz_id == "refused"
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    async fn link(self: Arc<Self>, accepted: Accepted<&'static str>) {
        self.links.send(accepted).await.unwrap();
    }
}

/// A running listener.
struct Site {
    address: SocketAddr,
    links: mpsc::Receiver<Accepted<&'static str>>,
    desk: Arc<Desk>,
    door: Arc<ArcSwap<Door>>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn config(more: &str) -> ListenerConfig {
    let auth = if more.contains("auth:") {
        ""
    } else {
        "auth: insecure_query"
    };
    config::tests::read(&format!("name: test\naddress: 127.0.0.1:0\n{auth}\n{more}")).unwrap()
}

/// What a client with nothing wrong about it asks for.
const GOOD: &str = "/ws?biz_id=chat&user_id=ann";

impl Site {
    /// With this YAML besides name, address and `insecure_query`.
    async fn open(more: &str) -> Self {
        let listener = Listener::bind(
            &config(more),
            &ListenerMetrics::default(),
            (&Network::System, &clock()),
        )
        .unwrap();
        let (sender, links) = mpsc::channel(64);
        let desk = Arc::new(Desk {
            links: sender,
            quota: Mutex::new(Quota::unlimited()),
            ready: AtomicBool::new(true),
        });
        let stop = CancellationToken::new();
        Self {
            address: listener.local_address().unwrap(),
            links,
            door: Arc::clone(&listener.entrance),
            running: tokio::spawn(listener.run(Arc::clone(&desk), stop.clone())),
            desk,
            stop,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Opens a link as a WebSocket client does.
    async fn client(&self, path: &str) -> WebSocketStream<TcpStream> {
        let url = format!("ws://{}{path}", self.address);
        client_async(url, self.connect().await).await.unwrap().0
    }

    /// What a client that sends this gets, until the listener closes.
    async fn ask(&self, bytes: &[u8]) -> String {
        answer_to(self.connect().await, bytes).await
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.door.load().counters.refused(refusal).get()
    }

    /// Waits until so many were refused for this reason: they are counted after their answer.
    async fn until_refused(&self, refusal: Refusal, count: u64) {
        while self.refused(refusal) < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn answer_to(mut stream: TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A listener that only closes may do so by a reset.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

/// The first line of the answer to a good client with these header lines.
async fn status(site: &Site, more: &[&str]) -> String {
    let mut stream = site.connect().await;
    stream
        .write_all(handshake(GOOD, more).as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A sound handshake for this path, with these header lines besides.
fn handshake(path: &str, more: &[&str]) -> String {
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for line in more {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

#[tokio::test]
async fn a_good_client_becomes_a_link_that_works() {
    let mut site = Site::open("").await;
    let mut client = site
        .client("/ws?biz_id=chat&user_id=ann&device_id=phone")
        .await;
    let mut link = site.links.recv().await.unwrap();
    assert_eq!(
        link.identity,
        linkgate_filter::Identity::new("chat", "ann").at_device("phone")
    );
    assert_eq!((&*link.listener, link.pipeline), ("test", "chat's"));
    assert_eq!(link.peer, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(link.token_expires_at, None);
    client.send(Message::binary("hello")).await.unwrap();
    assert_eq!(
        link.socket.next().await.unwrap().unwrap(),
        Message::binary("hello")
    );
    link.socket.send(Message::text("world")).await.unwrap();
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::text("world")
    );
}

#[tokio::test]
async fn the_form_is_agreed_and_the_token_is_not_sent_back() {
    let mut site = Site::open("").await;
    let mut request = format!("ws://{}{GOOD}", site.address)
        .into_client_request()
        .unwrap();
    let offer = "linkgate.token.a.b.c, linkgate.v1.json";
    request
        .headers_mut()
        .insert("sec-websocket-protocol", offer.parse().unwrap());
    let (_client, response) = client_async(request, site.connect().await).await.unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "linkgate.v1.json"
    );
    assert_eq!(
        site.links.recv().await.unwrap().form,
        linkgate_filter::Form::Json
    );
    let (_client, response) =
        client_async(format!("ws://{}{GOOD}", site.address), site.connect().await)
            .await
            .unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    assert_eq!(
        site.links.recv().await.unwrap().form,
        linkgate_filter::Form::Protobuf
    );
}

#[tokio::test]
async fn messages_beyond_the_limit_end_the_link() {
    let mut site = Site::open("websocket: { max_message: 1KiB }").await;
    let mut client = site.client(GOOD).await;
    let mut link = site.links.recv().await.unwrap();
    client.send(Message::binary(vec![0; 1024])).await.unwrap();
    assert!(link.socket.next().await.unwrap().is_ok());
    client.send(Message::binary(vec![0; 1025])).await.unwrap();
    assert!(link.socket.next().await.unwrap().is_err());
}

#[tokio::test]
async fn the_largest_outgoing_message_fits_its_buffer() {
    let mut site = Site::open("websocket: { max_outgoing: 100KiB }").await;
    let mut client = site.client(GOOD).await;
    let mut link = site.links.recv().await.unwrap();
    let largest = Message::binary(vec![7; 100 * 1024]);
    let (sent, received) = tokio::join!(link.socket.send(largest.clone()), client.next());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap(), largest);
}

#[tokio::test]
async fn stopping_closes_the_address_and_waits_for_handshakes() {
    let mut site = Site::open("").await;
    let mut client = site.client(GOOD).await;
    let mut link = site.links.recv().await.unwrap();
    let slow = site.connect().await;
    // Accepted for sure once a later one is.
    drop(site.client(GOOD).await);
    site.stop.cancel();
    let answer = answer_to(slow, handshake(GOOD, &[]).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    site.running.await.unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
    client.send(Message::binary("still here")).await.unwrap();
    assert!(link.socket.next().await.unwrap().is_ok());
}

#[tokio::test]
async fn an_address_in_use_is_told_with_the_listener() {
    let site = Site::open("").await;
    let mut taken = config("");
    taken.address = site.address;
    let error = Listener::bind(
        &taken,
        &ListenerMetrics::default(),
        (&Network::System, &clock()),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("`test`") && error.contains(&site.address.to_string()),
        "{error}"
    );
    let mut shared = config("reuse_port: true");
    let first = Listener::bind(
        &shared,
        &ListenerMetrics::default(),
        (&Network::System, &clock()),
    )
    .unwrap();
    shared.address = first.local_address().unwrap();
    assert!(
        Listener::bind(
            &shared,
            &ListenerMetrics::default(),
            (&Network::System, &clock())
        )
        .is_ok()
    );
}

#[tokio::test]
async fn what_happens_is_counted() {
    let metrics = ListenerMetrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let door = Door::prepare(&config(""), &metrics, &clock()).unwrap();
    door.counters.accepted.inc();
    door.counters.refused(Refusal::Path).inc();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "listener_accepted_total{listener=\"test\"} 1",
        "listener_refused_total{listener=\"test\",reason=\"path\"} 1",
        "listener_refused_total{listener=\"test\",reason=\"token_expired\"} 0",
        "listener_open_links{listener=\"test\"} 0",
        "listener_handshake_seconds_count{listener=\"test\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
