//! Links over in-memory streams, in virtual time.

mod comings;
mod hostile;
mod logins;
mod panics;
mod pushes;
mod unfinished;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use linkgate_filter::runner::Pipeline;
use linkgate_filter::testkit::{Pushed, Testkit};
use linkgate_filter::{
    CloseCode, Command, Context, Filter, FilterType, Form, Identity, Never, Open, Outcome, Prepare,
    Properties, Registry, Verdict,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::*;
use crate::wire::{Counted, Unfinished};

/// Answers each frame with itself.
struct Mirror;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoConfig {}

impl FilterType for Mirror {
    const NAME: &'static str = "mirror";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(_: NoConfig, _: &Prepare<'_>) -> Result<Self, linkgate_filter::problem::Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Mirror {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: linkgate_filter::Message, cx: &mut Context<'_, Self>) -> Verdict {
        cx.downstream(m);
        Verdict::Done
    }
}

fn user(biz_id: &str, user_id: &str) -> User {
    (biz_id.into(), user_id.into())
}

struct World {
    kit: Testkit,
    manager: Arc<LinkManager>,
    metrics: Arc<LinkMetrics>,
    settings: LinkSettings,
    token_expires_at: Option<Instant>,
    room: Arc<Unfinished>,
}

struct Client {
    socket: WebSocketStream<DuplexStream>,
    task: JoinHandle<()>,
    /// Dropped with the gateway's socket.
    permit: std::sync::Weak<()>,
}

impl World {
    fn new(entries: &str) -> Self {
        Self {
            kit: Testkit::new(panics::with(Registry::new().with::<Mirror>()), entries),
            manager: Arc::default(),
            metrics: Arc::default(),
            settings: LinkSettings {
                push_queue: 64 * 1024,
                ..LinkSettings::default()
            },
            token_expires_at: None,
            room: Unfinished::new(1 << 20, 1 << 20, Default::default()),
        }
    }

    async fn connect(&self, user: &str) -> Client {
        self.connect_to(Arc::clone(self.kit.own()), Identity::new("chat", user))
            .await
    }

    async fn connect_to(&self, pipeline: Arc<Pipeline>, identity: Identity) -> Client {
        let (ours, theirs) = duplex(8 * 1024);
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .max_message_size(Some(64 * 1024));
        let socket = WebSocketStream::from_raw_socket(
            Counted::new(theirs, (64 * 1024, self.room.share(None)), None),
            Role::Server,
            Some(config),
        )
        .await;
        let new = NewLink {
            socket,
            identity,
            form: Form::Protobuf,
            peer: [127, 0, 0, 1].into(),
            token_expires_at: self.token_expires_at,
            listener: "public".into(),
            pipeline,
            budget: PushBudget::new(1 << 20),
            settings: Arc::new(self.settings),
        };
        let permit = Arc::new(());
        let weak = Arc::downgrade(&permit);
        let task = tokio::spawn(new.open((&self.manager, &self.metrics), permit, &|_| ()));
        let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let client = Client {
            socket,
            task,
            permit: weak,
        };
        settle().await;
        client
    }

    fn push(&self, user: &str, body: impl Into<Bytes>) -> Pushed {
        let links = self.manager.find(&self::user("chat", user), None);
        let (pushed, receipt) = Pushed::new();
        let link = links.first().expect("the user has a link");
        let m = linkgate_filter::Message::new(
            Arc::clone(link.info()),
            Command::DownstreamMessage,
            "p",
            body,
        );
        if let Err((m, fault)) = link.push(m.with_receipt(receipt)) {
            m.settle(Outcome::Failed(fault));
        }
        pushed
    }
}

impl Client {
    async fn send(&mut self, body: &str) {
        self.socket
            .send(Frame::text(body))
            .await
            .expect("the gateway reads");
    }

    async fn text(&mut self) -> String {
        loop {
            match self
                .socket
                .next()
                .await
                .expect("the link is open")
                .expect("a frame")
            {
                Frame::Text(text) => return text.to_string(),
                Frame::Binary(body) => return String::from_utf8(body.to_vec()).expect("UTF-8"),
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("not a data frame: {other:?}"),
            }
        }
    }

    /// The code the gateway closes with.
    async fn closed(&mut self) -> Option<CloseCode> {
        while let Some(Ok(frame)) = self.socket.next().await {
            if let Frame::Close(Some(close)) = frame {
                return Some(CloseCode::new(close.code.into()));
            }
        }
        None
    }
}

/// Lets every task run that can; time stands still.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn frames_are_answered_in_order() {
    let world = World::new("[{ use: mirror }]");
    let mut client = world.connect("alice").await;
    for i in 0..200 {
        client
            .socket
            .feed(Frame::text(i.to_string()))
            .await
            .unwrap();
    }
    client.socket.flush().await.unwrap();
    for i in 0..200 {
        assert_eq!(client.text().await, i.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_a_dead_one_let_go() {
    let world = World::new("[{ use: mirror }]");
    let mut alive = world.connect("alice").await;
    let dead = world.connect("bob").await;
    let start = Instant::now();
    // Reading answers the pings.
    let listening = tokio::spawn(async move { alive.closed().await });
    dead.task.await.unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(60) && took < Duration::from_secs(65),
        "{took:?}"
    );
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!listening.is_finished(), "the client that answers stays");
    assert_eq!(world.manager.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_closes_the_link() {
    let mut world = World::new("[{ use: mirror }]");
    world.token_expires_at = Some(Instant::now() + Duration::from_secs(5));
    let mut client = world.connect("alice").await;
    let start = Instant::now();
    assert_eq!(client.closed().await, Some(CloseCode::TOKEN_EXPIRED));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_costs_only_itself() {
    let world = World::new("[{ use: mirror }]");
    let mut stuck = world.connect("stuck").await;
    let mut fine = world.connect("fine").await;
    // Both buffers fill, then the gateway stops reading, then this send does not end.
    let flood = tokio::spawn(async move {
        while stuck
            .socket
            .send(Frame::text("x".repeat(1000)))
            .await
            .is_ok()
        {}
    });
    for i in 0..100 {
        fine.send(&i.to_string()).await;
        assert_eq!(fine.text().await, i.to_string());
    }
    let start = Instant::now();
    stuck.task.await.unwrap();
    assert_eq!(
        start.elapsed().as_secs(),
        10,
        "closed when the stall lasts too long"
    );
    flood.await.unwrap();
    assert_eq!(world.manager.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_large_frame_slowly_stays() {
    let world = World::new("[{ use: mirror }]");
    let mut slow = world.connect("slow").await;
    slow.send(&"x".repeat(60_000)).await;
    let (mut taken, mut bytes) = (0, [0; 2000]);
    while taken < 60_000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let count = slow.socket.get_mut().read(&mut bytes).await.unwrap();
        assert!(count > 0, "closed after {taken} bytes");
        taken += count;
    }
    assert!(!slow.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn broken_frames_and_too_large_ones_close_with_a_code() {
    let world = World::new("[{ use: mirror }]");
    let mut unmasked = world.connect("alice").await;
    unmasked
        .socket
        .get_mut()
        .write_all(&[0x81, 0x01, b'x'])
        .await
        .unwrap();
    assert_eq!(unmasked.closed().await, Some(CloseCode::PROTOCOL));
    let large = world.connect("bob").await;
    let (mut sender, mut receiver) = large.socket.split();
    let sending = tokio::spawn(async move { sender.send(Frame::text("x".repeat(100_000))).await });
    let close = loop {
        match receiver.next().await {
            Some(Ok(Frame::Close(close))) => break close,
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    };
    assert_eq!(close.map(|close| u16::from(close.code)), Some(1009));
    let _ = sending.await;
    drop(receiver);
    drop(unmasked.socket);
    unmasked.task.await.unwrap();
    large.task.await.unwrap();
    assert!(world.manager.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_broke_the_protocol_sees_the_end_behind_the_close_frame() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.close = Duration::from_secs(10);
    let mut client = world.connect("alice").await;
    let start = Instant::now();
    let stream = client.socket.get_mut();
    stream.write_all(&[0x81, 0x01, b'x']).await.unwrap();
    assert_eq!(client.closed().await, Some(CloseCode::PROTOCOL));
    // It has answered with a close frame of its own, and is not the one to end the connection.
    let stream = client.socket.get_mut();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // What it still sends is read, more of it than the stream between them holds.
    stream.write_all(&[0; 32 * 1024]).await.unwrap();
    assert!(!client.task.is_finished());
    drop(client.socket);
    client.task.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_permit_goes_with_the_socket() {
    let world = World::new("[{ use: mirror }]");
    let Client {
        socket,
        task,
        permit,
    } = world.connect("alice").await;
    assert!(permit.upgrade().is_some());
    drop(socket);
    task.await.unwrap();
    assert!(permit.upgrade().is_none());
    assert!(world.manager.find(&user("chat", "alice"), None).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_much_is_read_at_the_pace_it_may_send() {
    let mut world = World::new("[{ use: mirror }]");
    world.settings.frames_per_second = 10.0;
    let mut client = world.connect("alice").await;
    let start = Instant::now();
    for i in 0..30 {
        client.send(&i.to_string()).await;
    }
    for i in 0..30 {
        assert_eq!(
            client.text().await,
            i.to_string(),
            "late, but in order and all of them"
        );
    }
    let took = start.elapsed().as_secs_f64();
    assert!(
        (1.8..=2.2).contains(&took),
        "10 at once, then 10 a second: {took}"
    );
}
