//! Frames on a stream: gathered and written, cut out and read.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::{Ping, PingPong, RecvStream, SendStream};
use linkgate_grpc::{whole_message, write};
use prost::Message;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::wire::Breach;
use crate::reception::Held;

/// Frames are written together up to about so many bytes.
pub(super) const BATCH: usize = 64 * 1024;
/// What stands before a frame: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A far end is asked so often whether it is there.
const PING_EVERY: Duration = Duration::from_secs(2);
/// It has so long to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a stream has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Http(#[from] h2::Error),
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error("the other node does not answer any more")]
    Dead,
    #[error("the other node has ended the stream{0}")]
    Ended(String),
}

/// Whoever has something to say on a stream.
pub(super) trait Speaks {
    /// Puts frames that are to be written next, up to about [`BATCH`]. `false`: there are none.
    fn fill(&self, batch: &mut BytesMut) -> bool;

    /// Told when there may be more.
    fn more(&self) -> &Notify;
}

/// Writes what there is to say, as the far end takes it: nothing waits for more, and what comes meanwhile goes together.
pub(super) async fn speak(
    stream: &mut SendStream<Bytes>,
    speaker: &impl Speaks,
) -> Result<Infallible, h2::Error> {
    loop {
        let mut batch = BytesMut::new();
        match speaker.fill(&mut batch) {
            true => write(stream, batch.freeze(), false).await?,
            false => speaker.more().notified().await,
        }
    }
}

/// Puts a frame.
pub(super) fn put(frame: &impl Message, batch: &mut BytesMut) {
    let length = frame.encoded_len();
    batch.reserve(PREFIX + length);
    batch.put_u8(0);
    // A body has at most 64 MiB.
    batch.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The batch grows as it has to.
    let _ = frame.encode(batch);
}

/// Reads frames.
pub(super) struct Hearing {
    stream: RecvStream,
    come: BytesMut,
    largest: usize,
    /// Counts what has not come whole, where that is limited.
    held: Option<Held>,
}

impl Hearing {
    /// Frames of up to `largest` bytes.
    pub(super) fn new(stream: RecvStream, largest: usize, held: Option<Held>) -> Self {
        Self {
            stream,
            come: BytesMut::new(),
            largest,
            held,
        }
    }

    /// The next frame. May be dropped and called again without losing one.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<M, Broken> {
        loop {
            if let Some(frame) = take(&mut self.come, self.largest)? {
                if self.come.is_empty() {
                    // What it has grown to is not kept.
                    self.come = BytesMut::new();
                }
                if let Some(held) = &mut self.held {
                    held.clear();
                }
                return Ok(frame);
            }
            let Some(data) = self.stream.data().await else {
                return Err(Broken::Ended(self.why().await));
            };
            let data = data?;
            self.stream.flow_control().release_capacity(data.len())?;
            if let Some(held) = &mut self.held
                && held.grow(data.len()).is_err()
            {
                return Err(Breach("too much has not come whole").into());
            }
            self.come.extend_from_slice(&data);
        }
    }

    /// What the far end says at the end.
    async fn why(&mut self) -> String {
        match self.stream.trailers().await {
            Ok(Some(trailers)) => status(&trailers).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// Takes the first frame, if it is whole.
pub(super) fn take<M: Message + Default>(
    come: &mut BytesMut,
    largest: usize,
) -> Result<Option<M>, Breach> {
    let Some(length) = whole_message(come, largest) else {
        return Ok(None);
    };
    let announced = come[1..PREFIX].iter();
    let announced = announced.fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if announced != length - PREFIX {
        return Err(Breach("a frame is too large"));
    }
    if come[0] != 0 {
        return Err(Breach("a frame is compressed"));
    }
    let frame = come.split_to(length);
    let decoded = M::decode(&frame[PREFIX..]);
    decoded.map(Some).map_err(|_| Breach("a frame is no frame"))
}

/// What a gRPC status says, unless all is well.
pub(super) fn status(headers: &http::HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").filter(|code| *code != "0")?;
    let message = text("grpc-message").unwrap_or_default();
    let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy();
    let message: String = message
        .chars()
        .filter(|c| !c.is_control())
        .take(512)
        .collect();
    Some(format!(" (status {code}): {message}"))
}

/// Resolves when the far end does not answer any more.
pub(super) async fn dead(pings: Option<PingPong>) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(PING_EVERY).await;
        match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection says why itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}
