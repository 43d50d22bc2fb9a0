//! Nodes that speak to each other over a network within this process, in virtual time.

mod broken;
mod property;
mod pushes;
mod room;
mod strangers;
mod tls;
mod words;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use linkgate_filter::runner::Settler;
use linkgate_filter::{Fault, Outcome};
use linkgate_grpc::{Address, ConnectError, Io};
use linkgate_proto::v1;
use linkgate_proto::v1::peer_service_client::PeerServiceClient;
use linkgate_proto::v1::{PeerRequest, PeerResponse, peer_request, peer_response};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::wire;
use super::*;
use crate::clock::SystemClock;
use crate::network::MemoryNetwork;
use crate::push::{ReceiverOutcome, Status as Ended};

const TOKEN: &str = "0123456789abcdef";

/// A network whose connections can be frozen.
#[derive(Clone, Default)]
struct Net {
    memory: MemoryNetwork,
    frozen: Arc<AtomicBool>,
    /// How often whoever dials has written.
    written: Arc<AtomicUsize>,
}

struct Freezable(DuplexStream, Net);

impl AsyncRead for Freezable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.1.frozen.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => Pin::new(&mut self.0).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Freezable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.1.frozen.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => {
                self.1.written.fetch_add(1, Ordering::Relaxed);
                Pin::new(&mut self.0).poll_write(cx, buf)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Net {
    fn dial(&self, to: &str) -> io::Result<Freezable> {
        let to = to.parse().map_err(io::Error::other)?;
        let from = "10.0.0.1:1".parse().map_err(io::Error::other)?;
        let stream = self.memory.dial(to, from)?;
        Ok(Freezable(stream, self.clone()))
    }
}

impl Connector for Net {
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let authority = address.uri.authority().map(ToString::to_string);
        let dialled = self.dial(&authority.unwrap_or_default());
        Box::pin(async { Ok(Box::new(dialled?) as _) })
    }

    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[derive(Debug)]
enum Heard {
    Answers(Incarnation),
    Silent(Incarnation),
    Said(FromPeer),
    Delivered(Forwarded, Answer),
    Settled(u64, Outcome),
}

struct Ears(mpsc::Sender<Heard>);

impl Hears for Ears {
    fn answers(&self, peer: Incarnation) {
        let _ = self.0.try_send(Heard::Answers(peer));
    }

    fn silent(&self, peer: Incarnation) {
        let _ = self.0.try_send(Heard::Silent(peer));
    }

    fn said(&self, said: FromPeer) {
        let _ = self.0.try_send(Heard::Said(said));
    }

    fn deliver(&self, _: Incarnation, delivery: Forwarded, answer: Answer) {
        let _ = self.0.try_send(Heard::Delivered(delivery, answer));
    }
}

impl Settler for Ears {
    fn settle(&self, number: u64, outcome: Outcome) {
        let _ = self.0.try_send(Heard::Settled(number, outcome));
    }
}

struct Node {
    peers: Peers,
    life: Incarnation,
    ears: Arc<Ears>,
    heard: mpsc::Receiver<Heard>,
    stop: CancellationToken,
}

fn life(revision: u64) -> Incarnation {
    Incarnation {
        registry: 7,
        revision,
    }
}

fn config() -> PeersConfig {
    PeersConfig::at("127.0.0.1:0".parse().unwrap())
}

impl Node {
    fn new(net: &Net, revision: u64) -> Self {
        Self::with(net, revision, &config())
    }

    fn with(net: &Net, revision: u64, config: &PeersConfig) -> Self {
        let network = Network::Memory(net.memory.clone());
        Self::on(network, Arc::new(net.clone()), revision, config)
    }

    fn on(
        network: Network,
        connector: Arc<dyn Connector>,
        revision: u64,
        config: &PeersConfig,
    ) -> Self {
        let (say, heard) = mpsc::channel(10_000);
        let (ears, stop) = (Arc::new(Ears(say)), CancellationToken::new());
        let around = Around {
            node: format!("n{revision}").into(),
            network,
            connector,
            clock: Arc::new(SystemClock),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            metrics: ReceptionMetrics::default(),
        };
        let peers = Peers::bind(config, around, Arc::clone(&ears) as _).unwrap();
        let life = life(revision);
        peers.is(Some(life));
        Self {
            peers,
            life,
            ears,
            heard,
            stop,
        }
    }

    fn knows(&self, others: &[&Node]) {
        let others = others.iter();
        let address = |node: &&Node| (node.life, node.peers.address().to_string());
        self.peers.know(others.map(address));
    }

    async fn hears(&mut self) -> Heard {
        let heard = timeout(Duration::from_secs(60), self.heard.recv()).await;
        heard.expect("something is heard").unwrap()
    }

    async fn hears_nothing(&mut self) {
        let heard = timeout(Duration::from_millis(1), self.heard.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    async fn finds(&mut self, other: Incarnation) {
        let heard = self.hears().await;
        assert!(
            matches!(heard, Heard::Answers(life) if life == other),
            "{heard:?}"
        );
    }

    async fn loses(&mut self, other: Incarnation) {
        let heard = self.hears().await;
        assert!(
            matches!(heard, Heard::Silent(life) if life == other),
            "{heard:?}"
        );
    }

    async fn said(&mut self) -> FromPeer {
        match self.hears().await {
            Heard::Said(said) => said,
            other => panic!("{other:?}"),
        }
    }

    async fn delivered(&mut self) -> (Forwarded, Answer) {
        match self.hears().await {
            Heard::Delivered(forwarded, answer) => (forwarded, answer),
            other => panic!("{other:?}"),
        }
    }

    async fn settled(&mut self) -> (u64, Outcome) {
        match self.hears().await {
            Heard::Settled(number, outcome) => (number, outcome),
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&self, to: Incarnation, push: &Arc<Source>, name: &str, number: u64) -> DeliveryId {
        let receipt = Receipt::new(Arc::clone(&self.ears) as _, number);
        let claims = [claim(to, number)];
        self.peers
            .deliver(to, push, None, (&user(name), &claims), receipt)
    }
}

/// What a source shares among the receivers of a push.
struct Source(Push);

impl Deref for Source {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.0
    }
}

/// Two nodes with a stream from the first to the second.
async fn pair(net: &Net, second: &PeersConfig) -> (Node, Node) {
    let (mut one, mut two) = (Node::new(net, 1), Node::with(net, 2, second));
    one.knows(&[&two]);
    one.peers.dial(two.life);
    one.finds(two.life).await;
    two.finds(one.life).await;
    (one, two)
}

fn user(name: &str) -> User {
    ("chat".into(), name.into())
}

fn claim(incarnation: Incarnation, link: u64) -> ClaimId {
    ClaimId { incarnation, link }
}

fn push(key: &str, size: usize) -> Arc<Source> {
    Arc::new(Source(Push {
        key: key.into(),
        biz_id: "chat".into(),
        body: vec![7; size].into(),
        device_id: None,
        expires_at: None,
        ack: true,
        all: false,
    }))
}

fn ended(status: Ended, reason: Option<Fault>) -> ReceiverOutcome {
    ReceiverOutcome { status, reason }
}

fn delivered() -> ReceiverOutcome {
    ended(Ended::Delivered, None)
}

/// The code of a failure, and whether it is certain that nothing arrived.
fn code(outcome: &Outcome) -> (&str, bool) {
    match outcome {
        Outcome::Accepted(_) => panic!("{outcome:?}"),
        Outcome::Failed(fault) => (&fault.code, true),
        Outcome::Unknown(fault) => (&fault.code, false),
    }
}

/// Whoever speaks the protocol without keeping to it.
struct Liar {
    says: mpsc::Sender<PeerRequest>,
    hears: Streaming<PeerResponse>,
}

impl Liar {
    async fn connect(net: &Net, to: SocketAddr) -> Channel {
        let net = net.clone();
        let connect = tower::service_fn(move |_| {
            let dialled = net.dial(&to.to_string());
            async move { dialled.map(hyper_util::rt::TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://node");
        endpoint.connect_with_connector(connect).await.unwrap()
    }

    async fn open(net: &Net, to: SocketAddr, token: Option<&str>) -> Result<Self, Status> {
        let (says, said) = mpsc::channel(10_000);
        let mut request = Request::new(ReceiverStream::new(said));
        if let Some(token) = token {
            let token = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", token);
        }
        let mut client = PeerServiceClient::new(Self::connect(net, to).await);
        let hears = client.talk(request).await?.into_inner();
        Ok(Self { says, hears })
    }

    fn say(&self, said: peer_request::Said) {
        let _ = self.says.try_send(PeerRequest { said: Some(said) });
    }

    async fn hear(&mut self) -> Result<peer_response::Said, Status> {
        let heard = timeout(Duration::from_secs(60), self.hears.message()).await;
        let heard = heard.expect("something is heard")?;
        Ok(heard.expect("no end").said.expect("a known frame"))
    }

    /// Everything until the end.
    async fn ends(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }

    /// Says who it is, and hears who the other one is and what it gives.
    async fn greet(&mut self, revision: u64) -> u64 {
        self.say(peer_request::Said::Hello(hello(revision)));
        let hello = self.hear().await.unwrap();
        assert!(matches!(hello, peer_response::Said::Hello(_)), "{hello:?}");
        match self.hear().await.unwrap() {
            peer_response::Said::Credit(credit) => credit.bytes,
            other => panic!("{other:?}"),
        }
    }
}

fn hello(revision: u64) -> v1::PeerHello {
    v1::PeerHello {
        incarnation: Some(wire::to_incarnation(life(revision))),
        node: "liar".to_owned(),
        protocol: wire::PROTOCOL,
        oldest_protocol: wire::OLDEST_PROTOCOL,
        ..v1::PeerHello::default()
    }
}
