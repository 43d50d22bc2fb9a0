//! Pushes over real links: codec, `ack_retry`, the link manager and the router together, in virtual time.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use linkgate_ack_retry::AckRetry;
use linkgate_codec::Codec;
use linkgate_filter::testkit::Testkit;
use linkgate_filter::{Form, Identity, Registry};
use linkgate_proto::v1::{Command, Message};
use tokio::io::{DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::testing::Pending;
use super::*;
use crate::link::{LinkManager, LinkSettings, NewLink, PushBudget};
use crate::wire::{Counted, Share};

const PIPELINE: &str = "[{ use: codec, config: { format: json } }, \
    { id: ack, use: ack_retry, config: { resume_for: 30s } }, { use: test_end }]";

struct Node {
    kit: Testkit,
    manager: Arc<LinkManager>,
    router: Router,
}

struct Client(WebSocketStream<DuplexStream>);

impl Node {
    fn new() -> Self {
        let kit = Testkit::new(Registry::new().with::<Codec>().with::<AckRetry>(), PIPELINE);
        let manager = Arc::new(LinkManager::new());
        let router = Router::new(
            Arc::clone(&manager) as _,
            Arc::clone(&kit.host().clock),
            &PushLimits::default(),
            PushMetrics::default(),
        );
        Self {
            kit,
            manager,
            router,
        }
    }

    async fn connect(&self, user_id: &str) -> Client {
        let (ours, theirs) = duplex(8 * 1024);
        let link = NewLink {
            socket: WebSocketStream::from_raw_socket(
                Counted::new(theirs, (1 << 20, Share::unlimited()), None),
                Role::Server,
                None,
            )
            .await,
            identity: Identity::new(Testkit::BIZ_ID, user_id),
            form: Form::Json,
            peer: [127, 0, 0, 1].into(),
            token_expires_at: None,
            listener: "public".into(),
            pipeline: Arc::clone(self.kit.own()),
            budget: PushBudget::new(1 << 20),
            settings: Arc::new(LinkSettings::default()),
        };
        tokio::spawn(link.open((&self.manager, &Arc::default()), (), &|_| ()));
        settle_down().await;
        Client(WebSocketStream::from_raw_socket(ours, Role::Client, None).await)
    }

    fn start(&self, key: &str, ack: bool) -> JoinHandle<ReceiverOutcome> {
        let push = Push {
            key: key.into(),
            biz_id: Testkit::BIZ_ID.into(),
            body: "hello".into(),
            device_id: None,
            expires_at: None,
            ack,
            all: false,
        };
        let push = self.router.admit(push).unwrap();
        tokio::spawn(Pending::send(&self.router, &push, "alice").outcome(None))
    }
}

impl Client {
    /// The next message.
    async fn next(&mut self) -> Message {
        loop {
            let frame = self.0.next().await.expect("the link is open").unwrap();
            if let Frame::Text(text) = frame {
                return serde_json::from_str(&text).expect("a message");
            }
        }
    }

    /// Expects the push with this key and acknowledges it.
    async fn take(&mut self, key: &str) {
        let push = self.next().await;
        assert_eq!((push.cmd(), &*push.key), (Command::DownstreamMessage, key));
        assert_eq!(push.body, "hello");
        let ack = format!(r#"{{"cmd": "DOWNSTREAM_ACK", "key": "{key}"}}"#);
        self.0
            .send(Frame::text(ack))
            .await
            .expect("the link is open");
    }
}

async fn settle_down() {
    for _ in 0..32 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_acknowledges_makes_a_push_delivered() {
    let node = Node::new();
    let mut client = node.connect("alice").await;
    let waiting = node.start("k", true);
    client.take("k").await;
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_push_without_ack_is_sent_when_it_is_written() {
    let node = Node::new();
    let mut client = node.connect("alice").await;
    let waiting = node.start("k", false);
    assert_eq!(waiting.await.unwrap().status, Status::Sent);
    assert_eq!(client.next().await.key, "k");
}

#[tokio::test(start_paused = true)]
async fn a_push_goes_on_to_the_next_login() {
    let node = Node::new();
    let mut old = node.connect("alice").await;
    let waiting = node.start("k", true);
    assert_eq!(old.next().await.key, "k");
    let mut new = node.connect("alice").await;
    new.take("k").await;
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn pushes_at_the_moment_of_a_second_login_find_the_new_link() {
    let node = Node::new();
    let _old = node.connect("alice").await;
    // In the old link's queue, which the old link has not looked at when the new one takes over.
    let waiting = node.start("k", true);
    let mut new = node.connect("alice").await;
    new.take("k").await;
    assert_eq!(waiting.await.unwrap().status, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_come_back_is_offline() {
    let node = Node::new();
    let mut client = node.connect("alice").await;
    let waiting = node.start("k", true);
    assert_eq!(client.next().await.key, "k");
    drop(client);
    let begin = tokio::time::Instant::now();
    assert_eq!(waiting.await.unwrap().status, Status::Offline);
    assert_eq!(begin.elapsed().as_secs(), 30, "resume_for is over");
    assert_eq!(
        node.start("k2", true).await.unwrap().status,
        Status::Offline
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_acknowledges_lets_a_push_expire() {
    let node = Node::new();
    let mut client = node.connect("alice").await;
    let reading = tokio::spawn(async move {
        loop {
            client.next().await;
        }
    });
    let outcome = node.start("k", true).await.unwrap();
    assert_eq!(outcome.status, Status::Expired);
    assert_eq!(outcome.reason.unwrap().code, "push.unacknowledged");
    reading.abort();
}
