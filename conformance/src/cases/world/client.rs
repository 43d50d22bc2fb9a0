//! A client of a case: it does what the steps say, and writes down what it gets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request, Uri};
use linkgate_core::network::{Connection, MemoryNetwork};
use linkgate_filter::Form;
use linkgate_proto::v1;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::log::Log;
use super::seal::Seals;
use crate::cases::language::docs::{self, Connect};
use crate::cases::language::{Place, Sent, bytes};
use crate::cases::seen::{bytes_value, message_value};

/// Frames that a gateway has not read.
const MOST_WAITING: usize = 1 << 20;

type Stream = WebSocketStream<MaybeTlsStream<Connection>>;

/// Whom a client connects as, and where.
pub struct Target {
    /// The listener.
    pub at: At,
    /// What stands behind the listener's address in the request, with the query that names the client where the listener
    /// asks for one.
    pub path: String,
    /// The token, where the listener takes one.
    pub token: Option<String>,
    /// The form to ask for; `None`: the listener is fixed to one.
    pub asks_for: Option<Form>,
    /// The form of its messages.
    pub form: Form,
    /// Where it comes from.
    pub from: Option<IpAddr>,
    /// What it does to bodies.
    pub seals: Seals,
}

/// Where a listener is.
pub enum At {
    /// In this world.
    Here(MemoryNetwork, SocketAddr),
    /// In the other: `ws://host:port`, or `wss://`.
    There(String),
}

impl At {
    fn base(&self) -> String {
        match self {
            Self::Here(_, address) => format!("ws://{address}"),
            Self::There(url) => url.clone(),
        }
    }

    async fn dial(&self, uri: &Uri, from: Option<IpAddr>) -> io::Result<Connection> {
        match self {
            Self::Here(network, address) => {
                let from = from.unwrap_or(Ipv4Addr::LOCALHOST.into());
                let stream = network.dial(*address, SocketAddr::new(from, 50_000));
                stream.map(Connection::Right)
            }
            Self::There(_) => {
                let dialled = linkgate_client::dial(uri, from).await;
                dialled.map(Connection::Left).map_err(io::Error::other)
            }
        }
    }
}

/// A connected client. Dropping it cuts the connection.
pub struct Client {
    /// What is to be written: the client does not wait for a gateway that does not read, as time would pass.
    frames: mpsc::Sender<Frame>,
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
    reads: watch::Sender<bool>,
    form: Form,
    seals: Arc<Mutex<Seals>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.writer.abort();
        self.reader.abort();
    }
}

impl Client {
    /// Connects. `None` if it was not let in, which is written down.
    ///
    /// # Errors
    /// The case asks for what cannot be sent.
    pub async fn connect(
        name: &str,
        target: Target,
        connect: &Connect,
        log: &Log,
    ) -> Result<Option<Self>, String> {
        let request = request(&target, connect)?;
        let stream = target.at.dial(request.uri(), target.from).await;
        let refused = |what| {
            log.see(Place::Refused(name.to_owned()), what);
            Ok(None)
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return refused(json!({ "status": 0, "text": error.to_string() })),
        };
        let stream = match client_async_tls_with_config(request, stream, None, None).await {
            Ok((stream, _)) => stream,
            Err(WsError::Http(response)) => {
                let text = response.body().as_deref().map(String::from_utf8_lossy);
                let text = text.unwrap_or_default();
                return refused(
                    json!({ "status": response.status().as_u16(), "text": text.trim() }),
                );
            }
            Err(error) => return refused(json!({ "status": 0, "text": error.to_string() })),
        };
        let (writer, reader) = stream.split();
        let (reads, may_read) = watch::channel(true);
        let seals = Arc::new(Mutex::new(target.seals));
        let reading = Reading {
            name: name.to_owned(),
            log: log.clone(),
            seals: Arc::clone(&seals),
            may_read,
        };
        let (frames, to_write) = mpsc::channel(MOST_WAITING);
        Ok(Some(Self {
            frames,
            writer: tokio::spawn(write(writer, to_write)),
            reader: tokio::spawn(reading.run(reader)),
            reads,
            form: target.form,
            seals,
        }))
    }

    /// Whether its connection has not ended.
    pub fn is_open(&self) -> bool {
        !self.reader.is_finished()
    }

    /// Sends a message or a frame, as often as it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn send(&mut self, sent: &Sent) -> Result<(), String> {
        let times = match sent {
            Sent::Message(message) => message.times,
            Sent::Text(_) | Sent::Binary(_) => None,
        };
        for n in 1..=times.unwrap_or(1) {
            let frame = match sent {
                Sent::Message(message) => self.message(message, n)?,
                Sent::Text(text) => Frame::Text(text.as_str().into()),
                Sent::Binary(bytes) => Frame::Binary(bytes.clone().into()),
            };
            // A link that is closed takes nothing more: what the client gets says so.
            if let Err(TrySendError::Full(_)) = self.frames.try_send(frame) {
                return Err(format!(
                    "{MOST_WAITING} frames wait for the gateway to read them"
                ));
            }
        }
        Ok(())
    }

    fn message(&self, message: &docs::Message, n: u32) -> Result<Frame, String> {
        let cmd = message.cmd.as_deref().unwrap_or("UPSTREAM_MESSAGE");
        let command = match cmd.parse::<i32>() {
            Ok(number) => number,
            Err(_) => v1::Command::from_str_name(cmd)
                .ok_or_else(|| format!("there is no command `{cmd}`"))?
                .into(),
        };
        let message = v1::Message {
            cmd: command,
            key: String::from_utf8_lossy(&bytes(&message.key)?).replace("<n>", &n.to_string()),
            body: bytes(&message.body)?.into(),
            fault: None,
        };
        self.seals.lock().seal(self.form, message)
    }

    /// Reads from now on, or does not.
    pub fn read(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// Says goodbye.
    pub fn close(&self, code: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        };
        let _ = self.frames.try_send(Frame::Close(Some(frame)));
    }
}

/// Writes what there is, and flushes when there is no more.
async fn write(mut writer: SplitSink<Stream, Frame>, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if writer.feed(frame).await.is_err() || frames.is_empty() && writer.flush().await.is_err() {
            return;
        }
    }
}

fn request(target: &Target, connect: &Connect) -> Result<Request<()>, String> {
    let bad = |what: &str| format!("{what} cannot stand in a request");
    let url = format!("{}{}", target.at.base(), target.path);
    let mut request = url.into_client_request().map_err(|e| e.to_string())?;
    let headers = request.headers_mut();
    if let Some(form) = target.asks_for {
        let value = HeaderValue::from_static(linkgate_client::subprotocol(form));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    if let Some(token) = &target.token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        headers.insert(AUTHORIZATION, value.map_err(|_| bad("the token"))?);
    }
    if let Some(origin) = &connect.origin {
        let value = HeaderValue::try_from(origin);
        headers.insert(ORIGIN, value.map_err(|_| bad("the origin"))?);
    }
    for (name, value) in &connect.headers {
        let name = HeaderName::try_from(name).map_err(|_| bad(name))?;
        let value = HeaderValue::try_from(value).map_err(|_| bad(name.as_str()))?;
        headers.insert(name, value);
    }
    Ok(request)
}

/// What reads a client's connection.
struct Reading {
    name: String,
    log: Log,
    seals: Arc<Mutex<Seals>>,
    may_read: watch::Receiver<bool>,
}

impl Reading {
    async fn run(mut self, mut reader: SplitStream<Stream>) {
        let mut closed = false;
        loop {
            if self.may_read.wait_for(|reads| *reads).await.is_err() {
                return;
            }
            let next = tokio::select! {
                biased;
                _ = self.may_read.wait_for(|reads| !*reads) => continue,
                next = reader.next() => next,
            };
            match next {
                Some(Ok(frame @ (Frame::Text(_) | Frame::Binary(_)))) => self.got(frame),
                Some(Ok(Frame::Close(frame))) => {
                    closed = true;
                    self.ended(frame.as_ref());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
        if !closed {
            let place = Place::Closed(self.name.clone());
            self.log.see(place, json!({ "code": 1006 }));
        }
    }

    fn ended(&self, frame: Option<&CloseFrame>) {
        let what = match frame {
            Some(frame) => {
                json!({ "code": u16::from(frame.code), "reason": frame.reason.as_str() })
            }
            None => json!({ "code": 1005 }),
        };
        self.log.see(Place::Closed(self.name.clone()), what);
    }

    fn got(&self, frame: Frame) {
        let raw = match &frame {
            Frame::Text(text) => json!({ "text": text.as_str() }),
            other => json!({ "binary": bytes_value(&other.clone().into_data()) }),
        };
        match self.seals.lock().open(frame) {
            Ok(message) => {
                let place = Place::Message(self.name.clone());
                self.log.see_message(place, message_value(&message), raw);
            }
            Err(_) => self.log.see(Place::Frame(self.name.clone()), raw),
        }
    }
}
