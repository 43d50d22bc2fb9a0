//! One connection: the handshake, messages in and out, and how it ended.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request, StatusCode, Uri};
use linkgate_filter::{CloseCode, Form};
use linkgate_proto::v1::Message;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::frame::{self, BadFrame};

/// Where to connect, and as whom.
#[derive(Clone, Default)]
pub struct Target {
    /// `ws://host:port/path`. A missing scheme is taken as `ws://`, a missing path as `/ws`.
    pub url: String,
    /// For a listener with `auth: insecure_query`: the query parameters `biz_id`, `user_id` and `device_id`.
    pub biz_id: Option<String>,
    /// See [`biz_id`](Self::biz_id).
    pub user_id: Option<String>,
    /// See [`biz_id`](Self::biz_id).
    pub device_id: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// The form to ask for.
    pub form: Form,
    /// Ask for no form: the handshake names no subprotocol.
    pub silent: bool,
    /// Trusted roots for `wss://`; the system's if `None`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Connect from this address.
    pub source: Option<IpAddr>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For connecting and the handshake together.
    pub handshake: Duration,
    /// Bytes read from the socket at a time, held for as long as the connection.
    pub read_buffer: usize,
    /// Bytes of the largest message taken.
    pub max_message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            read_buffer: 16 * 1024,
            max_message: 16 << 20,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL, or a name or token to be put into the request, cannot be used.
    #[error("{0}")]
    Request(String),
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The gateway answered, but with an HTTP status.
    #[error("refused with {status}{}", reason(.text))]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The answer's text, if it came along.
        text: String,
        /// The answer's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The listener knows no subprotocol of this client.
    #[error("the listener did not agree to the subprotocol {0}: is it fixed to the other form?")]
    Form(&'static str),
    /// Not a WebSocket, or not over TLS.
    #[error("the handshake failed: {0}")]
    Handshake(#[source] Box<WsError>),
    /// It took too long.
    #[error("no answer to the handshake within {0:?}")]
    Timeout(Duration),
}

fn reason(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

impl ConnectError {
    /// Whether trying again as it is can help.
    pub fn reconnect(&self) -> bool {
        match self {
            Self::Request(_) | Self::Form(_) => false,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Unreachable { .. } | Self::Handshake(_) | Self::Timeout(_) => true,
        }
    }

    /// How long the gateway asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The gateway's close code; 1006 where the connection broke without one.
    pub code: CloseCode,
    /// What the close frame or the system says about it.
    pub reason: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.code(), self.reason.as_str()) {
            (1006, reason) => write!(f, "the connection broke: {reason}"),
            (_, reason) if reason.is_empty() || reason == self.code.name() => {
                write!(f, "closed with {}", self.code)
            }
            (_, reason) => write!(f, "closed with {}: {reason}", self.code),
        }
    }
}

impl Ended {
    pub(super) fn broken(reason: impl fmt::Display) -> Self {
        Self {
            code: CloseCode::new(1006),
            reason: reason.to_string(),
        }
    }
}

impl From<WsError> for Ended {
    fn from(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => {
                Self::broken("the gateway hung up")
            }
            error => Self::broken(error),
        }
    }
}

impl From<Option<CloseFrame>> for Ended {
    fn from(frame: Option<CloseFrame>) -> Self {
        // RFC 6455: 1005 stands for a close frame without a code.
        let (code, reason) = frame.map_or((1005, String::new()), |frame| {
            (frame.code.into(), frame.reason.to_string())
        });
        Self {
            code: CloseCode::new(code),
            reason,
        }
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Socket {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    form: Form,
    ended: Option<Ended>,
}

impl Socket {
    /// Connects and shakes hands.
    pub async fn connect(target: &Target, limits: Limits) -> Result<Self, ConnectError> {
        tokio::time::timeout(limits.handshake, Box::pin(Self::open(target, limits)))
            .await
            .unwrap_or(Err(ConnectError::Timeout(limits.handshake)))
    }

    async fn open(target: &Target, limits: Limits) -> Result<Self, ConnectError> {
        let request = target.request()?;
        let stream = dial(request.uri(), target.source).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer)
            .write_buffer_size(64 * 1024)
            .max_write_buffer_size(64 * 1024 + 2 * limits.max_message)
            .max_message_size(Some(limits.max_message))
            .max_frame_size(Some(limits.max_message));
        let connector = target.tls.clone().map(Connector::Rustls);
        match client_async_tls_with_config(request, stream, Some(config), connector).await {
            Ok((ws, _)) => Ok(Self {
                ws,
                form: target.form,
                ended: None,
            }),
            Err(error) => Err(refusal(error, target.form)),
        }
    }

    /// Sends `message`, and what was fed before it.
    pub async fn send(&mut self, message: &Message) -> Result<(), Ended> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Puts `message` into the write buffer; [`flush`](Self::flush) sends what is there.
    pub async fn feed(&mut self, message: &Message) -> Result<(), Ended> {
        self.feed_frame(frame::encode(self.form, message)).await
    }

    /// Puts a frame into the write buffer.
    pub async fn feed_frame(&mut self, frame: tungstenite::Message) -> Result<(), Ended> {
        Ok(self.ws.feed(frame).await?)
    }

    /// Writes what was fed, all at once.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        Ok(self.ws.flush().await?)
    }

    /// The next message. Safe to cancel.
    pub async fn next(&mut self) -> Result<Result<Message, BadFrame>, Ended> {
        Ok(frame::decode(self.next_frame().await?))
    }

    /// The next data frame. Safe to cancel.
    pub async fn next_frame(&mut self) -> Result<tungstenite::Message, Ended> {
        while self.ended.is_none() {
            match self.ws.next().await {
                Some(Ok(
                    frame @ (tungstenite::Message::Binary(_) | tungstenite::Message::Text(_)),
                )) => {
                    return Ok(frame);
                }
                Some(Ok(tungstenite::Message::Close(frame))) => self.ended = Some(frame.into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => self.ended = Some(error.into()),
                None => self.ended = Some(WsError::ConnectionClosed.into()),
            }
        }
        // Answers the gateway's close frame.
        self.ws.flush().await.ok();
        Err(self
            .ended
            .clone()
            .unwrap_or_else(|| WsError::ConnectionClosed.into()))
    }

    /// A data frame that has arrived already.
    pub fn ready_frame(&mut self) -> Option<Result<tungstenite::Message, Ended>> {
        self.next_frame().now_or_never()
    }

    /// Says goodbye and waits, at most a second, until the gateway has said so too.
    pub async fn close(mut self) {
        let goodbye = async {
            if self.ws.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
            }
        };
        tokio::time::timeout(Duration::from_secs(1), goodbye)
            .await
            .ok();
    }
}

impl Target {
    fn request(&self) -> Result<Request<()>, ConnectError> {
        let uri: Uri = self
            .full_url()
            .parse()
            .map_err(|e| unusable(&format!("the URL {}", self.url), e))?;
        let mut request = uri
            .into_client_request()
            .map_err(|e| unusable(&format!("the URL {}", self.url), e))?;
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| unusable("the token", "it has characters that no header may hold"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if !self.silent {
            let value = HeaderValue::from_static(frame::subprotocol(self.form));
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        Ok(request)
    }

    /// The URL with what was left out, and with the identity as its query.
    fn full_url(&self) -> String {
        let mut url = if self.url.contains("://") {
            self.url.clone()
        } else {
            format!("ws://{}", self.url)
        };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        if !rest.contains(['/', '?']) {
            url.push_str("/ws");
        }
        let identity = [
            ("biz_id", &self.biz_id),
            ("user_id", &self.user_id),
            ("device_id", &self.device_id),
        ];
        for (name, value) in identity
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(&percent_encoded(value));
        }
        url
    }
}

fn unusable(what: &str, why: impl fmt::Display) -> ConnectError {
    ConnectError::Request(format!("{what} cannot be used: {why}"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

async fn dial(uri: &Uri, source: Option<IpAddr>) -> Result<TcpStream, ConnectError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("wss") {
            443
        } else {
            80
        });
    let stream = match source {
        None => TcpStream::connect((host, port)).await,
        Some(source) => dial_from(source, host, port).await,
    };
    let stream = stream.map_err(|source| ConnectError::Unreachable {
        address: format!("{host}:{port}"),
        source,
    })?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}

async fn dial_from(source: IpAddr, host: &str, port: u16) -> std::io::Result<TcpStream> {
    let family = |address: &std::net::SocketAddr| address.is_ipv4() == source.is_ipv4();
    let address = tokio::net::lookup_host((host, port)).await?.find(family);
    let address = address.ok_or_else(|| {
        std::io::Error::other(format!(
            "{host} has no address of the same family as the source address {source}"
        ))
    })?;
    let socket = if source.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind((source, 0).into())?;
    socket.connect(address).await
}

fn refusal(error: WsError, form: Form) -> ConnectError {
    match error {
        WsError::Http(response) => {
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let text = response
                .body()
                .as_deref()
                .map(String::from_utf8_lossy)
                .unwrap_or_default();
            ConnectError::Refused {
                status: response.status(),
                text: text.trim().to_owned(),
                retry_after: seconds.map(Duration::from_secs),
            }
        }
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => ConnectError::Form(frame::subprotocol(form)),
        error => ConnectError::Handshake(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_leaves_out_is_filled_in() {
        let full = |url: &str| {
            Target {
                url: url.into(),
                ..Target::default()
            }
            .full_url()
        };
        assert_eq!(full("127.0.0.1:8080"), "ws://127.0.0.1:8080/ws");
        assert_eq!(full("wss://gate.example/"), "wss://gate.example/");
        assert_eq!(full("ws://gate/chat?x=1"), "ws://gate/chat?x=1");
    }

    #[test]
    fn the_identity_goes_into_the_query_and_the_token_does_not() {
        let target = Target {
            url: "ws://gate:1/ws?x=1".into(),
            biz_id: Some("chat".into()),
            user_id: Some("a&b ü".into()),
            token: Some("secret".into()),
            ..Target::default()
        };
        let request = target.request().unwrap();
        assert_eq!(
            request.uri().query(),
            Some("x=1&biz_id=chat&user_id=a%26b%20%C3%BC")
        );
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
        assert!(!format!("{target:?}{request:?}").contains("secret"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| ConnectError::Refused {
            status,
            text: String::new(),
            retry_after: None,
        };
        assert!(!refused(StatusCode::UNAUTHORIZED).reconnect());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).reconnect());
        assert!(!ConnectError::Request("x".into()).reconnect());
    }
}
