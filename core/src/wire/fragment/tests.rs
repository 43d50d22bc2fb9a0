//! Frames as clients send them, and what a WebSocket is made to believe they sent.

use futures_util::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;
use crate::wire::trickle::trickle;
use crate::wire::{Counted, Share};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const FINAL: u8 = 0x80;
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn head(first: u8, length: usize) -> Vec<u8> {
    let header = FrameHeader {
        is_final: first & FINAL != 0,
        opcode: OpCode::from(first & 0x0f),
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header.format(length as u64, &mut bytes).unwrap();
    bytes
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len());
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A message in frames of these sizes, the last of which takes the rest, with a ping behind each but that.
fn message(kind: u8, body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut bytes, mut rest, mut opcode) = (Vec::new(), body, kind);
    for size in sizes {
        let (now, later) = rest.split_at(rest.len().min(*size));
        bytes.extend(frame(opcode, now));
        bytes.extend(frame(FINAL | PING, b"still there?"));
        (rest, opcode) = (later, 0);
    }
    bytes.extend(frame(FINAL | opcode, rest));
    bytes
}

/// What a WebSocket makes of a client's bytes, as they come in reads of these sizes.
fn read(max: usize, bytes: &[u8], sizes: &[usize]) -> (Vec<Message>, Error) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(max))
        .max_frame_size(Some(max));
    let stream = Counted::new(trickle(bytes, sizes), (max, Share::unlimited()), None);
    runtime().block_on(async {
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let mut messages = Vec::new();
        loop {
            match socket.next().await {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) => return (messages, error),
                // Random bytes have said goodbye.
                None => return (messages, Error::ConnectionClosed),
            }
        }
    })
}

/// Everything that is passed on of these bytes.
fn passed_on(max: u64, bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, Fragmenter) {
    let (mut fragmenter, mut source) = (Fragmenter::new(max), trickle(bytes, sizes));
    let mut all = Vec::new();
    runtime().block_on(async {
        loop {
            let mut room = [0; 1024];
            let mut buf = ReadBuf::new(&mut room);
            let polled = std::future::poll_fn(|cx| fragmenter.poll_read(&mut source, cx, &mut buf));
            polled.await.unwrap();
            if buf.filled().is_empty() {
                return;
            }
            all.extend_from_slice(buf.filled());
        }
    });
    (all, fragmenter)
}

fn bodies() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        vec(any::<u8>(), 0..6000).prop_map(|body| (BINARY, body)),
        "[a-zäß漢🦀]{0,3000}".prop_map(|body| (TEXT, body.into_bytes())),
        (0..200_000_usize).prop_map(|size| (BINARY, std::vec![7; size])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_are_the_same_however_they_come(
        messages in vec((bodies(), vec(0..9000_usize, 0..4)), 1..6),
        sizes in vec(1..2500_usize, 1..5),
    ) {
        let mut bytes = Vec::new();
        for ((kind, body), frames) in &messages {
            bytes.extend(message(*kind, body, frames));
        }
        let (read, error) = read(1 << 20, &bytes, &sizes);
        let mut read = read.into_iter().filter(|message| !message.is_ping());
        for ((kind, body), _) in &messages {
            let message = read.next();
            prop_assert_eq!(message.as_ref().map(Message::is_text), Some(*kind == TEXT), "{}", error);
            prop_assert!(message.unwrap().into_data() == body[..]);
        }
        prop_assert!(read.next().is_none());
    }

    /// However much a client promises, its WebSocket is to make room for no more than has come.
    #[test]
    fn no_frame_is_passed_on_that_promises_more_than_has_come(
        body in vec(any::<u8>(), 0..20_000),
        promised in 0..200_000_usize,
        sizes in vec(1..2500_usize, 1..5),
    ) {
        let promised = promised.max(body.len());
        let bytes = [head(FINAL | BINARY, promised), body.clone()].concat();
        let (passed, fragmenter) = passed_on(1 << 20, &bytes, &sizes);
        let mut rest = &passed[..];
        while !rest.is_empty() {
            let mut cursor = Cursor::new(rest);
            let (_, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            let come = rest.len() as u64 - cursor.position();
            prop_assert!(length <= WHOLE.max(come), "{length} of which {come} have come");
            let end = (cursor.position() + length).min(rest.len() as u64);
            rest = &rest[end as usize..];
        }
        prop_assert_eq!(fragmenter.is_unfinished(), promised > body.len());
        let counted = if promised > body.len() && promised as u64 > WHOLE { body.len() } else { 0 };
        prop_assert_eq!(fragmenter.gathered(), counted);
    }

    #[test]
    fn any_bytes_are_as_they_would_be_without_it(
        bytes in vec(prop_oneof![any::<u8>(), 0x80..0x83_u8], 0..3000),
        sizes in vec(1..2500_usize, 1..5),
    ) {
        let (ours, error) = read(1 << 20, &bytes, &sizes);
        let config = WebSocketConfig::default().max_message_size(Some(1 << 20)).max_frame_size(Some(1 << 20));
        let theirs = runtime().block_on(async {
            let stream = trickle(&bytes, &sizes);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            socket.take_while(|read| std::future::ready(read.is_ok())).map(Result::unwrap).collect::<Vec<_>>().await
        });
        prop_assert_eq!(ours, theirs, "{}", error);
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let (messages, error) = read(100_000, &head(FINAL | BINARY, 100_001), &[1000]);
    assert!(
        messages.is_empty() && matches!(error, Error::Capacity(_)),
        "{error}"
    );
}

#[test]
fn a_control_frame_that_is_too_large_is_refused_by_its_header() {
    for kind in [PING, CLOSE] {
        let (_, error) = read(1 << 20, &head(FINAL | kind, 100_000), &[3]);
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        assert!(!error.to_string().contains("without"), "{error}");
    }
}

#[test]
fn text_that_is_none_is_refused_before_its_end() {
    let bytes = [head(FINAL | TEXT, 100_000), vec![0xff; 3000]].concat();
    let (_, error) = read(1 << 20, &bytes, &[1000]);
    assert!(matches!(error, Error::Utf8(_)), "{error}");
}

#[tokio::test]
async fn what_has_given_up_passes_everything_on() {
    let bytes = head(FINAL | BINARY, 100_000);
    let mut stream = Counted::new(&bytes[..], (1 << 20, Share::unlimited()), None);
    stream.gives_up();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, bytes);
    assert!(!stream.is_unfinished());
}
