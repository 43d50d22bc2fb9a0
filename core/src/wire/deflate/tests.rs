//! Messages there and back, against an independent use of the deflate library.

use std::io::Read;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
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

const AGREED: Agreement = Agreement {
    window_bits: 15,
    keeps: false,
    client_window_bits: 15,
    client_keeps: false,
    level: 4,
    min_size: 0,
};

const KEPT: Agreement = Agreement {
    keeps: true,
    client_keeps: true,
    ..AGREED
};

/// A message's payload as a client packs it.
fn deflated(packer: &mut Compress, body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return vec![0];
    }
    let mut packed = Vec::with_capacity(body.len() * 2 + 100);
    packer
        .compress_vec(body, &mut packed, FlushCompress::Sync)
        .unwrap();
    packed.truncate(packed.len() - TAIL.len());
    packed
}

fn client(bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::default(), false, bits)
}

/// A message as a client unpacks it.
fn inflated(unpacker: &mut Decompress, packed: &[u8]) -> Vec<u8> {
    let input = [packed, &TAIL].concat();
    let mut body = Vec::with_capacity(4 << 20);
    let before = unpacker.total_in();
    unpacker
        .decompress_vec(&input, &mut body, FlushDecompress::Sync)
        .unwrap();
    assert_eq!(unpacker.total_in() - before, input.len() as u64);
    body
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0xfe);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A payload in frames of so many bytes, with a ping after each but the last.
fn fragments(kind: u8, rsv1: bool, payload: &[u8], size: usize) -> Vec<u8> {
    let mut chunks: Vec<&[u8]> = payload.chunks(size.max(1)).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let last = chunks.len() - 1;
    let mut bytes = Vec::new();
    for (at, chunk) in chunks.into_iter().enumerate() {
        let opcode = match at {
            0 => kind | if rsv1 { 0x40 } else { 0 },
            _ => 0,
        };
        bytes.extend(frame(opcode | if at == last { 0x80 } else { 0 }, chunk));
        if at != last {
            bytes.extend(frame(0x89, b"still there?"));
        }
    }
    bytes
}

/// What a WebSocket makes of a client's bytes, and what was counted.
fn read(
    agreed: Agreement,
    max: usize,
    bytes: &[u8],
    sizes: &[usize],
) -> (Vec<Message>, Error, usize) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(max))
        .max_frame_size(Some(max));
    let stream = Counted::new(
        trickle(bytes, sizes),
        (max, Share::unlimited()),
        Some(agreed),
    );
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let mut socket =
                WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            let mut messages = Vec::new();
            let error = loop {
                match socket.next().await.unwrap() {
                    Ok(Message::Ping(_)) => {}
                    Ok(message) => messages.push(message),
                    Err(error) => break error,
                }
            };
            (messages, error, socket.get_mut().take_read())
        })
}

fn breaks(agreed: Agreement, bytes: &[u8]) -> bool {
    let (_, error, _) = read(agreed, 1 << 20, bytes, &[1000]);
    matches!(error, Error::Protocol(error) if error != tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
}

/// Text that packs, more or less.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(0..4_u8, 0..9000),
        (any::<u8>(), 0..40_000_usize).prop_map(|(byte, size)| std::vec![byte; size]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn messages_are_the_same_however_they_are_cut(
        messages in vec((bodies(), any::<bool>(), 1..3000_usize), 1..6),
        sizes in vec(1..2500_usize, 1..5),
        keeps: bool,
        bits in 9..=15_u8,
    ) {
        let agreed = Agreement { client_keeps: keeps, client_window_bits: bits, ..AGREED };
        let (mut packer, mut bytes) = (client(bits), Vec::new());
        for (body, packed, size) in &messages {
            let payload = if *packed { deflated(&mut packer, body) } else { body.clone() };
            bytes.extend(fragments(2, *packed, &payload, *size));
            if !keeps {
                packer.reset();
            }
        }
        let (read, error, _) = read(agreed, 1 << 20, &bytes, &sizes);
        prop_assert_eq!(read.len(), messages.len(), "{}", error);
        for (read, (body, ..)) in read.into_iter().zip(&messages) {
            prop_assert!(read.into_data() == body[..]);
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_by_others(
        messages in vec(bodies(), 1..6),
        keeps: bool,
        window_bits in 9..=15_u8,
        level in 1..=9_u8,
    ) {
        let agreed = Agreement { keeps, window_bits, level, ..AGREED };
        let mut ours = Deflate::new(agreed);
        let mut theirs = Decompress::new_with_window_bits(false, window_bits);
        for body in messages {
            match ours.pack(&body) {
                Some(packed) => {
                    prop_assert!(packed.len() <= body.len() + GROWTH + body.len() / 1000);
                    prop_assert!(inflated(&mut theirs, &packed) == body);
                }
                None => prop_assert!(!keeps),
            }
            if !keeps {
                theirs.reset(false);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in vec(any::<u8>(), 0..3000),
        sizes in vec(1..500_usize, 1..4),
        keeps: bool,
    ) {
        let agreed = Agreement { client_keeps: keeps, ..AGREED };
        let (messages, ..) = read(agreed, 4096, &frame(0xc1, &bytes), &sizes);
        prop_assert!(messages.iter().all(|message| message.len() <= 4096));
        drop(read(agreed, 4096, &bytes, &sizes));
    }
}

#[test]
fn a_compressed_message_counts_as_though_it_were_not() {
    let body = vec![7; 20_000];
    let packed = deflated(&mut client(15), &body);
    let (messages, _, count) = read(AGREED, 1 << 20, &frame(0xc2, &packed), &[300]);
    assert_eq!(messages, [Message::binary(body)]);
    assert_eq!(count, 20_000 + 6);
    // Each frame counts, and so does what comes to nothing.
    let pieces = fragments(2, true, &packed, 1);
    let (_, _, count) = read(AGREED, 1 << 20, &pieces, &[300]);
    let pings = (packed.len() - 1) * (6 + b"still there?".len());
    assert_eq!(count, 20_000 + packed.len() * 6 + pings);
    let nothing = [0, 0, 0, 0xff, 0xff].repeat(10_000);
    let (messages, _, count) = read(AGREED, 1 << 20, &frame(0xc2, &nothing), &[1024]);
    assert_eq!(messages, [Message::binary(&[][..])]);
    assert!(count > 40_000, "{count}");
}

#[test]
fn what_does_not_pack_counts_no_more_than_itself() {
    let body: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(60_000)
        .collect();
    let packed = deflated(&mut client(15), &body);
    assert!(packed.len() > body.len());
    let (_, _, count) = read(AGREED, 1 << 20, &frame(0xc2, &packed), &[1024]);
    assert_eq!(count, body.len() + 8);
}

#[test]
fn a_message_that_unpacks_beyond_the_limit_is_stopped() {
    let bomb = deflated(&mut client(15), &vec![0; 1 << 20]);
    for sizes in [[1], [1024]] {
        let (messages, error, count) = read(AGREED, 64 << 10, &frame(0xc2, &bomb), &sizes);
        assert!(
            messages.is_empty() && matches!(error, Error::Capacity(_)),
            "{error}"
        );
        assert!(
            count < 80 << 10,
            "no more than the limit was unpacked: {count}"
        );
    }
    // A limit below one piece.
    let (_, error, _) = read(AGREED, 100, &frame(0xc2, &bomb), &[1024]);
    assert!(matches!(error, Error::Capacity(_)), "{error}");
}

#[test]
fn a_message_may_end_its_deflate_stream() {
    // RFC 7692, 7.2.3.4: "Hello" in a last block, and an empty one behind it.
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    for agreed in [AGREED, KEPT] {
        let mut bytes = frame(0xc1, &hello).repeat(2);
        bytes.extend(frame(0xc1, &hello[..7]));
        bytes.extend(frame(0xc1, &hello));
        let (messages, error, _) = read(agreed, 1000, &bytes, &[1, 7]);
        assert_eq!(messages, vec![Message::text("Hello"); 4], "{error}");
    }
}

#[test]
fn bits_that_mean_nothing_break_the_protocol() {
    let hello = &deflated(&mut client(15), b"Hello")[..];
    let first = frame(0x41, hello);
    assert!(!breaks(AGREED, &frame(0xc1, hello)));
    for (what, bytes) in [
        (
            "a marked continuation",
            [&first[..], &frame(0xc0, b"")].concat(),
        ),
        (
            "a marked continuation of a plain one",
            [frame(1, b"a"), frame(0xc0, hello)].concat(),
        ),
        ("a marked ping", frame(0xc9, b"")),
        ("a marked close", frame(0xc8, b"")),
        ("another reserved bit", frame(0xe1, hello)),
        ("a second message within one", [&first[..], &first].concat()),
        ("a continuation of nothing", frame(0x80, b"")),
        ("an unknown opcode", frame(0xc3, hello)),
        (
            "a frame without a mask",
            [&[0xc1, hello.len() as u8], hello].concat(),
        ),
        ("what is no deflate", frame(0xc1, &[0xff; 20])),
    ] {
        assert!(breaks(AGREED, &bytes), "{what}");
    }
}

#[test]
fn text_has_to_be_utf8_when_it_is_unpacked() {
    // Its letters lie across the pieces that it is unpacked in.
    let text = "é€".repeat(3000);
    let packed = deflated(&mut client(15), text.as_bytes());
    let (messages, ..) = read(AGREED, 1 << 20, &frame(0xc1, &packed), &[100]);
    assert_eq!(messages, [Message::text(text)]);
    let packed = deflated(&mut client(15), b"\xff\xfe");
    let (_, error, _) = read(AGREED, 1000, &frame(0xc1, &packed), &[100]);
    assert!(matches!(error, Error::Utf8(_)), "{error}");
}

#[test]
fn only_what_is_large_enough_and_gains_is_packed() {
    let mut deflate = Deflate::new(Agreement {
        min_size: 10,
        ..AGREED
    });
    assert_eq!(deflate.pack(b"aaaaaaaaa"), None);
    assert!(deflate.pack(b"aaaaaaaaaa").is_some());
    assert_eq!(deflate.pack(b"0123456789"), None, "it would grow");
    let mut deflate = Deflate::new(AGREED);
    assert_eq!(deflate.pack(b""), Some(vec![0]));
    let mut deflate = Deflate::new(KEPT);
    let first = deflate.pack(b"0123456789").unwrap();
    assert!(deflate.pack(b"0123456789").unwrap().len() < first.len() / 2);
}

#[tokio::test]
async fn a_link_keeps_no_state_between_messages() {
    let hello = frame(0xc1, &deflated(&mut client(15), b"Hello"));
    for (agreed, kept) in [(AGREED, false), (KEPT, true)] {
        let mut stream = Counted::new(
            trickle(&hello, &[4]),
            (1 << 20, Share::unlimited()),
            Some(agreed),
        );
        let mut frames = Vec::new();
        stream.read_to_end(&mut frames).await.unwrap();
        let deflate = stream.source.deflate.as_mut().unwrap();
        deflate.pack(b"Hello Hello Hello Hello").unwrap();
        assert_eq!(deflate.packer.is_some(), kept);
        assert_eq!(deflate.unpacker.is_idle(), !kept);
    }
}

#[test]
fn unpacking_agrees_with_the_librarys_own_reader() {
    let body: Vec<u8> = (0..50_000_u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    let packed = Deflate::new(AGREED).pack(&body).unwrap();
    let mut read = Vec::new();
    let whole = [&packed, &TAIL[..], &[3, 0]].concat();
    flate2::read::DeflateDecoder::new(&whole[..])
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == body);
}
