//! The WebSocket of a link: reads what is there, gathers what goes out, writes it at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use linkgate_filter::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode as WireCode};

use super::pieces::Pieces;
use crate::wire::{Counted, NoRoom};

/// Payloads over this are written straight from where they are: a buffer that has grown for them would stay.
const LARGE: usize = 16 * 1024;

/// The longest frame header.
const FRAME_HEADER: usize = 14;

/// What a read has brought.
pub(super) enum Read {
    /// A data frame, all parts of it.
    Frame(Bytes, /* text: */ bool),
    /// A ping, a pong: a sign of life, with so many bytes of payload.
    Alive(usize),
    /// The client said goodbye; its close code has been answered.
    Goodbye,
    /// What the client sent breaks the protocol or a limit.
    Broken(CloseCode),
    /// The connection is gone.
    Lost,
}

impl Read {
    /// Payload bytes.
    pub(super) fn payload(&self) -> usize {
        match self {
            Self::Frame(body, _) => body.len(),
            Self::Alive(bytes) => *bytes,
            _ => 0,
        }
    }
}

/// What has come beside a message.
pub(super) struct Beside {
    /// Frames beyond the one that it takes at least.
    pub(super) frames: usize,
    /// Any byte at all, its own too.
    pub(super) heard: bool,
}

/// A link's WebSocket.
pub(super) struct Socket<S> {
    inner: WebSocketStream<Counted<S>>,
    pieces: Pieces,
    /// A frame that is being written past the buffer.
    large: Option<Large>,
    /// Some of such a frame has been taken since [`Socket::has_moved`] was asked.
    moved: bool,
    /// The client said goodbye or broke the protocol: what else is read of it is thrown away. Unread it would turn the end
    /// of the connection into a reset, which may overtake the close frame.
    over: bool,
    /// The close frame has been put into the buffer, or the client's answered.
    told: bool,
}

struct Large {
    header: Vec<u8>,
    payload: Bytes,
    written: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(inner: WebSocketStream<Counted<S>>) -> Self {
        let largest = inner
            .get_config()
            .max_message_size
            .unwrap_or(usize::MAX / 2);
        Self {
            inner,
            pieces: Pieces::new(largest),
            large: None,
            moved: false,
            over: false,
            told: false,
        }
    }

    /// The next message from the client, and what has come beside it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> (Poll<Read>, Beside) {
        let read = self.poll_message(cx);
        let stream = self.inner.get_mut();
        self.pieces.came(stream.take_read());
        let heard = stream.take_heard();
        if let Poll::Ready(read) = &read {
            self.pieces.told(read.payload());
        }
        let complete = matches!(read, Poll::Ready(Read::Frame(..)));
        let frames = self.pieces.beyond(!complete);
        (read, Beside { frames, heard })
    }

    /// Whether the client has begun a frame or a message and not ended it.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.over && self.inner.get_ref().is_unfinished()
    }

    /// Whether a message has begun of which frames are missing, or most of one.
    pub(super) fn is_within_message(&self) -> bool {
        !self.over && self.inner.get_ref().is_within_message()
    }

    /// What the client still sends is read and thrown away.
    pub(super) fn gives_up(&mut self) {
        self.over = true;
        self.inner.get_mut().gives_up();
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if self.over {
            return self.poll_discard(cx);
        }
        let read = match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
            Some(Ok(Message::Binary(body))) => Read::Frame(body, false),
            Some(Ok(Message::Text(body))) => Read::Frame(body.into(), true),
            Some(Ok(Message::Ping(body) | Message::Pong(body))) => Read::Alive(body.len()),
            Some(Ok(Message::Frame(_))) => Read::Alive(0),
            Some(Ok(Message::Close(_))) => Read::Goodbye,
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Read::Broken(CloseCode::TOO_BIG)
            }
            Some(Err(Error::Utf8(_))) => Read::Broken(CloseCode::INVALID_TEXT),
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => Read::Lost,
            Some(Err(Error::Protocol(_) | Error::Capacity(_))) => Read::Broken(CloseCode::PROTOCOL),
            Some(Err(Error::Io(error))) if is_no_room(&error) => {
                Read::Broken(CloseCode::OVERLOADED)
            }
            Some(Err(_)) | None => Read::Lost,
        };
        if let Read::Broken(_) | Read::Goodbye = read {
            self.told |= matches!(read, Read::Goodbye);
            self.gives_up();
        }
        Poll::Ready(read)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let mut bytes = [0; 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(self.inner.get_mut()).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        let ended = read.is_err() || count == 0;
        Poll::Ready(if ended {
            Read::Lost
        } else {
            Read::Alive(count)
        })
    }

    /// Whether a frame can be put into the buffer now.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.large.is_some() {
            ready!(self.poll_large(cx))?;
        }
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    /// Puts a data frame into the buffer, compressed if the client has agreed. Only after [`Socket::poll_ready`].
    pub(super) fn send(&mut self, body: Bytes, text: bool) -> Result<(), Error> {
        let kind = OpCode::Data(if text { Data::Text } else { Data::Binary });
        let (body, rsv1) = match self.inner.get_mut().packed(&body) {
            Some(packed) => (packed.into(), true),
            None => (body, false),
        };
        if body.len() > LARGE {
            let header = FrameHeader {
                opcode: kind,
                rsv1,
                ..FrameHeader::default()
            };
            let mut bytes = Vec::with_capacity(FRAME_HEADER);
            header.format(body.len() as u64, &mut bytes)?;
            self.large = Some(Large {
                header: bytes,
                payload: body,
                written: 0,
            });
            return Ok(());
        }
        // The gateway's own texts are UTF-8; a frame spares checking them again.
        let mut frame = Frame::message(body, kind, true);
        frame.header_mut().rsv1 = rsv1;
        Pin::new(&mut self.inner).start_send(Message::Frame(frame))
    }

    /// Puts a ping into the buffer. Only after [`Socket::poll_ready`].
    pub(super) fn ping(&mut self) -> Result<(), Error> {
        Pin::new(&mut self.inner).start_send(Message::Ping(Bytes::new()))
    }

    /// Puts a close frame into the buffer. Only after [`Socket::poll_ready`].
    pub(super) fn close(&mut self, code: CloseCode) -> Result<(), Error> {
        let frame = CloseFrame {
            code: WireCode::from(code.code()),
            reason: code.name().into(),
        };
        self.told = true;
        Pin::new(&mut self.inner).start_send(Message::Close(Some(frame)))
    }

    /// Writes everything that is in the buffer. Once the link is over, the end of what is written comes behind the close
    /// frame: the client waits for it, as it is for the server to end the connection (RFC 6455, 7.1.1).
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.large.is_some() {
            ready!(self.poll_large(cx))?;
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        if self.over && self.told {
            ready!(Pin::new(self.inner.get_mut()).poll_shutdown(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a frame is half written past the buffer: nothing may be read meanwhile, as reading may answer a ping.
    pub(super) fn is_mid_frame(&self) -> bool {
        self.large.is_some()
    }

    /// Whether the client has taken some of a large frame since this was last asked: slow, but not stuck.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    fn poll_large(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(Large { written: 0, .. }) = &self.large {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        }
        while let Some(Large {
            header,
            payload,
            written,
        }) = &mut self.large
        {
            let rest = match header.get(*written..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => &payload[*written - header.len()..],
            };
            if rest.is_empty() {
                self.large = None;
                break;
            }
            let count = ready!(Pin::new(self.inner.get_mut()).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(Error::ConnectionClosed));
            }
            *written += count;
            self.moved = true;
        }
        Poll::Ready(Ok(()))
    }
}

fn is_no_room(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<NoRoom>())
}
