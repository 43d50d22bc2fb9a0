//! Reads a request's head and nothing behind it, up to a size.

use http::request::Request;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;

use crate::listener::refusal::Refusal;

const END: &[u8] = b"\r\n\r\n";
/// What most heads fit into.
const USUAL: usize = 1024;

/// The request, once its head is complete. A client must send nothing more before the answer.
pub(super) async fn read<S>(stream: &mut S, max: usize) -> Result<Request<()>, Refusal>
where
    S: AsyncRead + Unpin,
{
    let mut head = Vec::with_capacity(USUAL.min(max));
    loop {
        let seen = head.len();
        let room = u64::try_from(max - seen).unwrap_or(u64::MAX);
        let count = (&mut *stream)
            .take(room)
            .read_buf(&mut head)
            .await
            .map_err(|_| Refusal::Gone)?;
        if count == 0 {
            return Err(if seen == max {
                Refusal::HeadTooLarge
            } else {
                Refusal::Gone
            });
        }
        // The end may lie across two reads.
        let from = seen.saturating_sub(END.len() - 1);
        if let Some(end) = head[from..]
            .windows(END.len())
            .position(|window| window == END)
        {
            let end = from + end + END.len();
            return if end == head.len() {
                parse(&head)
            } else {
                Err(Refusal::Malformed)
            };
        }
    }
}

fn parse(head: &[u8]) -> Result<Request<()>, Refusal> {
    match Request::try_parse(head) {
        Ok(Some((_, request))) => Ok(request),
        Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => Err(Refusal::Method),
        Ok(None) | Err(_) => Err(Refusal::Malformed),
    }
}
