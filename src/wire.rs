//! The stream below a link's WebSocket. It counts what is read, as a WebSocket tells of whole messages alone and not of
//! the frames and headers that they came in; and it unpacks compressed messages, which the WebSocket knows nothing of.

pub mod deflate;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::deflate::{Agreement, Deflate};

/// Counts the bytes that are read.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    read: usize,
    /// Only where compression was agreed on: all other links pay for the pointer alone.
    deflate: Option<Box<Deflate>>,
}

impl<S> Counted<S> {
    /// Counts from here on. What is read is unpacked if compression was `agreed` on.
    pub fn new(stream: S, agreed: Option<Agreement>) -> Self {
        Self {
            stream,
            read: 0,
            deflate: agreed.map(|agreed| Box::new(Deflate::new(agreed))),
        }
    }

    /// Bytes that were read since this was last asked. A compressed message counts as though it had come uncompressed in
    /// as many frames.
    pub fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }

    /// Unpacks nothing and packs nothing from here on, and keeps nothing for it: what is read only ends the connection.
    pub fn gives_up(&mut self) {
        self.deflate = None;
    }

    /// The message as it is to be sent compressed; `None`: as it is.
    pub fn packed(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        self.deflate.as_mut()?.pack(body)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(deflate) = &mut this.deflate {
            let polled = deflate.unpacker.poll_read(&mut this.stream, cx, buf);
            this.read += deflate.unpacker.take_count();
            return polled;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.read += buf.filled().len() - before;
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
