//! One connection: the handshake, messages in and out, and how it ended.

mod dial;
mod ended;
mod refused;
mod target;

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use linkgate_filter::{CloseCode, Form};
use linkgate_proto::v1::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

pub use self::dial::dial;
pub use self::ended::Ended;
pub use self::refused::ConnectError;
use self::refused::refusal;
pub use self::target::{Target, Tokens};
use super::frame::{self, BadFrame};

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

/// One open connection.
#[derive(Debug)]
pub struct Socket<S = TcpStream> {
    ws: WebSocketStream<MaybeTlsStream<S>>,
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
        Self::shake_hands(request, stream, target, limits).await
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket<S> {
    /// Shakes hands over a connection that the caller has opened.
    pub async fn over(stream: S, target: &Target, limits: Limits) -> Result<Self, ConnectError> {
        let opened = async { Self::shake_hands(target.request()?, stream, target, limits).await };
        tokio::time::timeout(limits.handshake, Box::pin(opened))
            .await
            .unwrap_or(Err(ConnectError::Timeout(limits.handshake)))
    }

    async fn shake_hands(
        request: Request,
        stream: S,
        target: &Target,
        limits: Limits,
    ) -> Result<Self, ConnectError> {
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
            let frame = CloseFrame {
                code: CloseCode::NORMAL.code().into(),
                reason: CloseCode::NORMAL.name().into(),
            };
            if self.ws.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
            }
        };
        tokio::time::timeout(Duration::from_secs(1), goodbye)
            .await
            .ok();
    }
}
