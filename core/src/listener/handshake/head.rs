//! Reads a request's head and nothing behind it, up to a size.

use http::request::Request;
use http::{HeaderName, HeaderValue, Version};
use httparse::{EMPTY_HEADER, Error, Status};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::listener::refusal::Refusal;

const END: &[u8] = b"\r\n\r\n";
/// How TLS begins. A client that speaks it here would wait as long as it is waited for.
const TLS_HANDSHAKE: u8 = 0x16;
/// What most heads fit into.
const USUAL: usize = 1024;
/// Header lines of one head: more than any client and all proxies in front of it send.
const LINES: usize = 128;

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
        if head[0] == TLS_HANDSHAKE {
            return Err(Refusal::Malformed);
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
    let mut lines = [EMPTY_HEADER; LINES];
    let mut parsed = httparse::Request::new(&mut lines);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => typed(&parsed).ok_or(Refusal::Malformed),
        Err(Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
        Ok(Status::Partial) | Err(_) => Err(Refusal::Malformed),
    }
}

/// The request, if its parts are what their places are for.
fn typed(parsed: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    let version = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder()
        .method(parsed.method?)
        .uri(parsed.path?)
        .version(version);
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    request.body(()).ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::stream;
    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    use super::*;

    const SOUND: &str = "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n";

    /// The result for these pieces, which come one per read, and how many bytes were read.
    fn arrive(pieces: &[&[u8]], max: usize) -> (Result<Request<()>, Refusal>, usize) {
        let come = pieces.iter().copied().map(Bytes::copy_from_slice);
        let mut stream = StreamReader::new(stream::iter(come.map(io::Result::Ok)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let result = read(&mut stream, max).await;
            let mut left = Vec::new();
            stream.read_to_end(&mut left).await.unwrap();
            (result, pieces.concat().len() - left.len())
        })
    }

    #[test]
    fn tls_is_refused_without_waiting_for_the_end_of_a_head() {
        let (refused, _) = arrive(&[b"\x16\x03\x01\x02"], 1024);
        assert_eq!(refused.unwrap_err(), Refusal::Malformed);
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_however_it_is_cut(
            mut cuts in proptest::collection::vec(1..SOUND.len(), 0..6),
        ) {
            cuts.extend([0, SOUND.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &SOUND.as_bytes()[cut[0]..cut[1]]).collect();
            let request = arrive(&pieces, 1024).0.unwrap();
            prop_assert_eq!(request.uri().path(), "/ws");
        }

        #[test]
        fn any_bytes_are_read_without_harm_and_within_bounds(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..90), 0..30),
            max in 1..1500_usize,
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (_, taken) = arrive(&pieces, max);
            prop_assert!(taken <= max);
        }

        #[test]
        fn any_header_lines_are_read_without_harm(
            lines in proptest::collection::vec("[ -~]{0,40}", 0..130),
        ) {
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let head = format!("GET /ws HTTP/1.1\r\n{lines}\r\n");
            drop(arrive(&[head.as_bytes()], 64 * 1024));
        }
    }
}
