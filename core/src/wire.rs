//! The stream below a link's WebSocket. It counts what is read, as a WebSocket tells of whole messages alone and not of
//! the frames and headers that they came in; it unpacks compressed messages, which the WebSocket knows nothing of; and it
//! has the WebSocket make room for what has arrived alone, within a limit that links share.

pub mod deflate;
mod fragment;
#[cfg(test)]
mod trickle;
mod unfinished;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::deflate::{Agreement, Deflate};
use self::fragment::Fragmenter;
pub use self::unfinished::{NoRoom, Share, Unfinished};

/// A frame that no WebSocket takes without an extension: it ends the link as one that broke the protocol.
const BREACH: [u8; 6] = [0xc2, 0x80, 0, 0, 0, 0];

/// Counts the bytes that are read, and hands them on as its WebSocket can take them.
#[derive(Debug)]
pub struct Counted<S> {
    source: Source<S>,
    fragmenter: Fragmenter,
    /// What an unfinished message holds of the room that links share for such.
    share: Share,
}

/// What is read, without compression.
#[derive(Debug)]
struct Source<S> {
    stream: S,
    read: usize,
    heard: bool,
    /// Only where compression was agreed on: all other links pay for the pointer alone.
    deflate: Option<Box<Deflate>>,
}

impl<S> Counted<S> {
    /// Counts from here on. Frames may have up to `max` bytes, and what is not finished its `share` of the room for it.
    /// What is read is unpacked if compression was `agreed` on.
    pub fn new(stream: S, (max, share): (usize, Share), agreed: Option<Agreement>) -> Self {
        Self {
            source: Source {
                stream,
                read: 0,
                heard: false,
                deflate: agreed.map(|agreed| Box::new(Deflate::new(agreed))),
            },
            fragmenter: Fragmenter::new(max as u64),
            share,
        }
    }

    /// Bytes that were read since this was last asked. A compressed message counts as though it had come uncompressed in
    /// as many frames.
    pub fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.source.read)
    }

    /// Whether any byte came since this was last asked, of whatever it is.
    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.source.heard)
    }

    /// Whether a frame or a message has begun and its end has not come.
    pub fn is_unfinished(&self) -> bool {
        let is_packed = self
            .source
            .deflate
            .as_ref()
            .is_some_and(|deflate| deflate.unpacker.is_unfinished());
        is_packed || self.fragmenter.is_unfinished()
    }

    /// Whether a message has begun of which frames are missing, or most of one.
    pub fn is_within_message(&self) -> bool {
        let deflate = self.source.deflate.as_ref();
        let is_packed = deflate.is_some_and(|deflate| deflate.unpacker.is_within_message());
        is_packed || self.fragmenter.is_within_message()
    }

    /// Unpacks nothing and packs nothing from here on, and keeps nothing for it: what is read only ends the connection.
    pub fn gives_up(&mut self) {
        self.source.deflate = None;
        self.fragmenter.gives_up();
    }

    /// The message as it is to be sent compressed; `None`: as it is.
    pub fn packed(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        self.source.deflate.as_mut()?.pack(body)
    }
}

impl<S> Counted<S> {
    /// Sees to it that what is unfinished has its share of the room.
    fn holds(&mut self) -> io::Result<()> {
        let deflate = self.source.deflate.as_ref();
        let unpacking = deflate.map_or(0, |deflate| deflate.unpacker.holds());
        self.share
            .hold(self.fragmenter.gathered() + unpacking)
            .map_err(io::Error::other)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = this.fragmenter.poll_read(&mut this.source, cx, buf);
        // What has been given up does not grow any more, and is given back with the connection.
        if !this.fragmenter.has_given_up() {
            this.holds()?;
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Source<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(deflate) = &mut this.deflate {
            let polled = deflate.unpacker.poll_read(&mut this.stream, cx, buf);
            this.read += deflate.unpacker.take_count();
            this.heard |= deflate.unpacker.take_heard();
            return polled;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.read += buf.filled().len() - before;
        this.heard |= buf.filled().len() > before;
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.source.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.source.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.source.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.source.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.source.stream).poll_shutdown(cx)
    }
}
