//! Seeing off a connection that becomes no link. It is not a handshake any more and holds none of those; how many are
//! seen off at once has a bound of its own, and beyond it they are just closed.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::answer::refuse;
use super::door::Door;
use super::refusal::Refusal;
use crate::network::{Connection, Stream};

/// How long it takes at most, TLS included.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// What is still to be done for a connection that was refused.
#[derive(Debug)]
pub(super) enum Farewell<S = Stream> {
    /// Nothing.
    Close,
    /// It has its answer. What the client still sends is read, as it would turn the closing into a reset, which may
    /// overtake the answer.
    Linger(S),
    /// It was refused before its handshake began, and is to be told so.
    Answer(Connection, Refusal),
}

impl Farewell {
    /// Does it, unless too many others are at it.
    pub(super) async fn say(self, door: &Door) {
        let Some(_seen_off) = door.farewells.take() else {
            return;
        };
        let farewell = async {
            let linger = match self {
                Self::Answer(stream, refusal) => {
                    let mut stream = door.secured(stream).await.ok()?;
                    refuse(&mut stream, refusal, door.retry_after).await?;
                    stream
                }
                Self::Linger(stream) => stream,
                Self::Close => return None,
            };
            drain(linger).await;
            Some(())
        };
        // Whatever comes of it, the connection ends here.
        drop(tokio::time::timeout(LINGER, farewell).await);
    }
}

async fn drain<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let copied = tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await;
    drop(copied);
}
