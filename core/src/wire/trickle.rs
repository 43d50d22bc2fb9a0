//! A connection that brings a little at a time.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, join, sink};
use tokio::task::yield_now;
use tokio_util::io::StreamReader;

/// A client's bytes, so many per read, and silence in between.
pub(super) fn trickle(bytes: &[u8], sizes: &[usize]) -> impl AsyncRead + AsyncWrite + Unpin {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(rest.split_to((*size).min(rest.len())));
    }
    let pieces = stream::iter(pieces).then(|piece| async {
        yield_now().await;
        io::Result::Ok(piece)
    });
    join(StreamReader::new(Box::pin(pieces)), sink())
}
