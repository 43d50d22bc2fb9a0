//! The stream that this node opens to another one: kept, and opened anew after it broke, with growing pauses.

use std::convert::Infallible;
use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{Connection, SendRequest};
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use linkgate_filter::Clock;
use linkgate_grpc::{Address, Behind, ConnectError, Io, Settings, chain, write};
use linkgate_proto::v1;
use linkgate_proto::v1::peer_response::Said;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::PATH;
use super::frames::{Broken, Hearing, Speaks, dead, put, speak, status};
use super::inner::Inner;
use super::sending::{Left, Sending, outcome};
use super::wire::{self, Breach, LARGEST_BESIDE};
use crate::cluster::machine::FromPeer;
use crate::edges::directory::Incarnation;
use crate::telemetry::limit::Every;

/// The way to one node.
pub(super) struct Opened {
    pub(super) to: Incarnation,
    pub(super) sending: Mutex<Sending>,
    pub(super) more: Notify,
    /// Dial now.
    pub(super) dial: Notify,
    /// Where it is; `None`: nobody knows any more.
    pub(super) address: watch::Sender<Option<String>>,
    clock: Arc<dyn Clock>,
    lines: Every,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it does not answer in time")]
    Late,
    #[error("{0} is no address")]
    NoAddress(String),
    #[error("{}", chain(.0))]
    Connect(#[from] ConnectError),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("it refuses the stream{0}")]
    Refused(String),
    #[error("another node answers there, or another life of it: {0}")]
    Other(Incarnation),
    #[error(
        "it speaks the protocols {1} to {0}, and this version {oldest} to {newest}: upgrade the older one",
        oldest = wire::OLDEST_PROTOCOL,
        newest = wire::PROTOCOL
    )]
    Protocol(u32, u32),
    #[error("{}", chain(.0))]
    Broken(#[from] Broken),
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Breach> for Failed {
    fn from(breach: Breach) -> Self {
        Self::Broken(breach.into())
    }
}

/// For TCP, TLS and the first word of the other node, each.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is said of one node that there is no stream.
const LINES: Duration = Duration::from_secs(30);
/// A node that is not known any more is let go after this.
const LINGER: Duration = Duration::from_secs(30);
/// What answers may send before they are read.
const WINDOW: u32 = 1024 * 1024;

impl Opened {
    pub(super) fn new(inner: &Inner, to: Incarnation, address: String) -> Arc<Self> {
        Arc::new(Self {
            to,
            sending: Mutex::new(Sending::new(&inner.config.queue)),
            more: Notify::new(),
            dial: Notify::new(),
            address: watch::Sender::new(Some(address)),
            clock: Arc::clone(&inner.around.clock),
            lines: Every::new(LINES),
        })
    }

    /// Keeps the stream until `stop`, or until the node is not known any more.
    pub(super) async fn run(
        self: Arc<Self>,
        inner: Arc<Inner>,
        own: Incarnation,
        stop: CancellationToken,
    ) {
        let over = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.is_unknown() => {}
            }
        };
        let mut over = pin!(over);
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let is_over = tokio::select! {
                biased;
                () = &mut over => true,
                failed = self.talk(&inner, own) => {
                    self.log(&failed);
                    false
                }
            };
            let was_open = self.sending.lock().is_open();
            if is_over {
                inner.forget(&self);
            }
            self.end(&inner, is_over);
            inner.lost(self.to, was_open);
            if is_over {
                return;
            }
            if was_open && begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            // Nodes do not dial in step, and each does the same whenever it does the same again.
            let mut hasher = DefaultHasher::new();
            (own, self.to, pause).hash(&mut hasher);
            let jittered = pause.mul_f64(0.75 + (hasher.finish() % 1024) as f64 / 4096.0);
            tokio::select! {
                biased;
                () = &mut over => {
                    inner.forget(&self);
                    return self.end(&inner, true);
                }
                () = self.dial.notified() => sleep(FIRST_PAUSE.saturating_sub(begun.elapsed())).await,
                () = sleep(jittered) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whoever waits for something of the stream is told.
    fn end(&self, inner: &Inner, for_good: bool) {
        let Left { settled, questions } = self.sending.lock().end(for_good);
        for number in questions {
            let told = FromPeer::Told(self.to, number, None);
            inner.hears.said(told);
        }
        for (receipt, outcome) in settled {
            receipt.settle(outcome);
        }
    }

    /// Resolves when the node has not been known for some time.
    async fn is_unknown(&self) {
        let mut address = self.address.subscribe();
        loop {
            // The sender lives as long as this.
            if address.wait_for(Option::is_none).await.is_err() {
                return pending().await;
            }
            tokio::select! {
                biased;
                _ = address.wait_for(Option::is_some) => {}
                () = sleep(LINGER) => return,
            }
        }
    }

    /// Opens the stream, and says and hears what there is until it breaks.
    async fn talk(&self, inner: &Arc<Inner>, own: Incarnation) -> Failed {
        let opened = async {
            let Some(address) = self.address.borrow().clone() else {
                return Err(Failed::NoAddress("nothing".to_owned()));
            };
            let uri = |text: &str| {
                Uri::builder()
                    .scheme("http")
                    .authority(text)
                    .path_and_query(PATH)
                    .build()
                    .map_err(|_| Failed::NoAddress(text.to_owned()))
            };
            let uri = uri(&address)?;
            let io = self.connect(inner, &uri).await?;
            let mut http2 = h2::client::Builder::new();
            http2
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .enable_push(false);
            let (requests, connection) = http2.handshake::<_, Bytes>(io).await?;
            Ok((uri, requests, connection))
        };
        let (uri, requests, connection) = match timeout(PATIENCE, opened).await {
            Err(_) => return Failed::Late,
            Ok(Err(failed)) => return failed,
            Ok(Ok(opened)) => opened,
        };
        let talk = async {
            tokio::select! {
                biased;
                result = self.converse(requests, uri, inner, own) => match result {
                    Ok(never) => match never {},
                    Err(failed) => failed,
                },
                broken = drive(connection) => broken.into(),
            }
        };
        Behind::others(Box::pin(talk)).await
    }

    async fn connect(&self, inner: &Inner, uri: &Uri) -> Result<Box<dyn Io>, Failed> {
        let address = Address {
            uri: uri.clone(),
            origin: uri.clone(),
            settings: Arc::new(Settings {
                tls: None,
                keep_alive: linkgate_filter::backend::KeepAlive::default(),
                connect_timeout: PATIENCE.into(),
            }),
        };
        let io = inner.around.connector.connect(&address).await?;
        match &inner.tls {
            None => Ok(io),
            Some(tls) => {
                let host = uri.host().unwrap_or_default();
                tls.open(io, host).await.map_err(Failed::Tls)
            }
        }
    }

    async fn converse(
        &self,
        mut requests: SendRequest<Bytes>,
        uri: Uri,
        inner: &Arc<Inner>,
        own: Incarnation,
    ) -> Result<Infallible, Failed> {
        let request = request(uri, inner);
        let (response, mut stream) = requests.send_request(request, false)?;
        let mut hello = BytesMut::new();
        let said = Some(v1::peer_request::Said::Hello(inner.hello(own)));
        put(&v1::PeerRequest { said }, &mut hello);
        let greeted = async {
            write(&mut stream, hello.freeze(), false).await?;
            let (head, body) = response.await?.into_parts();
            if head.status != http::StatusCode::OK || head.headers.contains_key("grpc-status") {
                let why = status(&head.headers);
                let why = why.unwrap_or_else(|| format!(": HTTP status {}", head.status));
                return Err(Failed::Refused(why));
            }
            let mut hearing = Hearing::new(body, LARGEST_BESIDE, None);
            let first: v1::PeerResponse = hearing.next().await?;
            Ok((hearing, self.check(first)?))
        };
        let greeted = timeout(PATIENCE, greeted).await;
        let (mut hearing, hello) = greeted.map_err(|_| Failed::Late)??;
        let too_large = self.sending.lock().begin(hello.max_body);
        for (receipt, outcome) in too_large {
            receipt.settle(outcome);
        }
        tracing::info!(node = hello.node, life = %self.to, version = hello.version, "the stream to another node is open");
        inner.found(self.to);
        inner.said_ended(wire::ended(hello.ended)?);
        let mut heard = async || -> Result<Infallible, Broken> {
            loop {
                let frame = hearing.next::<v1::PeerResponse>().await?;
                self.hear(frame, inner)?;
            }
        };
        tokio::select! {
            biased;
            heard = heard() => Ok(heard?),
            written = speak(&mut stream, self) => Ok(written?),
        }
    }

    /// The first word of the other node.
    fn check(&self, first: v1::PeerResponse) -> Result<v1::PeerHello, Failed> {
        let Some(Said::Hello(hello)) = first.said else {
            return Err(Breach("it has not begun with `hello`").into());
        };
        wire::name(&hello.node)?;
        wire::name(&hello.version)?;
        if wire::agree(hello.protocol, hello.oldest_protocol).is_none() {
            return Err(Failed::Protocol(hello.protocol, hello.oldest_protocol));
        }
        let is = wire::incarnation(hello.incarnation)?;
        match is == self.to {
            true => Ok(hello),
            false => Err(Failed::Other(is)),
        }
    }

    fn hear(&self, frame: v1::PeerResponse, inner: &Inner) -> Result<(), Breach> {
        match frame.said {
            // Of a newer version.
            None => {}
            Some(Said::Hello(_)) => return Err(Breach("a second `hello`")),
            Some(Said::Ended(ended)) => inner.said_ended(wire::ended(ended.incarnations)?),
            Some(Said::Fenced(fenced)) => {
                let fenced = FromPeer::Fenced(wire::claim_id(fenced.claim)?);
                inner.hears.said(fenced);
            }
            Some(Said::Told(told)) => {
                let claims = told.claims.map(wire::told).transpose()?;
                if self.sending.lock().is_answered(told.number) {
                    let told = FromPeer::Told(self.to, told.number, claims);
                    inner.hears.said(told);
                }
            }
            Some(Said::Outcome(said)) => {
                let number = said.delivery;
                let outcome = outcome(said)?;
                let receipt = self.sending.lock().settle(number);
                self.more.notify_one();
                let receipt = receipt.ok_or(Breach("an outcome of no delivery"))?;
                receipt.settle(outcome);
            }
            Some(Said::Credit(credit)) => {
                self.sending.lock().credit(credit.bytes);
                self.more.notify_one();
            }
        }
        Ok(())
    }

    fn log(&self, failed: &Failed) {
        if let Some(held_back) = self.lines.pass() {
            let address = self.address.borrow().clone().unwrap_or_default();
            tracing::warn!(life = %self.to, address, error = %failed, held_back, "there is no stream to another node: it is dialled again");
        }
    }
}

impl Speaks for Opened {
    fn fill(&self, batch: &mut BytesMut) -> bool {
        self.sending.lock().fill(batch, self.clock.now())
    }

    fn more(&self) -> &Notify {
        &self.more
    }
}

/// Runs the connection until it has ended.
async fn drive(mut connection: Connection<Box<dyn Io>, Bytes>) -> Broken {
    let pings = connection.ping_pong();
    tokio::select! {
        biased;
        ended = connection => match ended {
            Ok(()) => Broken::Ended(String::new()),
            Err(error) => error.into(),
        },
        () = dead(pings) => Broken::Dead,
    }
}

fn request(uri: Uri, inner: &Inner) -> Request<()> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(token) = &inner.config.token
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose()))
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}
