//! permessage-deflate on a listener, with a client made by hand.

mod misuse;

use std::net::SocketAddr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{Command, Message, PushRequest};
use prost::Message as _;

use crate::common::gateway::{Gateway, Setup};
use crate::common::push::{Caller, push};
use crate::common::raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, handshake, masked};

/// The bit that marks a compressed message.
const RSV1: u8 = 0x40;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// What browsers send.
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const FRESH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

async fn gateway(compression: &str) -> Gateway {
    let listener = format!("websocket: {{ compression: {{ enabled: true, {compression} }} }}");
    let setup = Setup {
        listener: &listener,
        ..Setup::default()
    };
    setup.start().await
}

/// A client that compresses.
struct Client {
    raw: Raw,
    packer: Compress,
    unpacker: Decompress,
    keeps: bool,
    /// Bytes of payload of the last frame.
    received: usize,
}

impl Client {
    /// Opens a link with this offer. With what the gateway has agreed to.
    async fn open(address: SocketAddr, user: &str, offer: &str) -> (Self, Option<String>) {
        let mut raw = Raw::connect(address).await;
        let path = format!("/ws?biz_id=chat&user_id={user}");
        let offer = format!("sec-websocket-extensions: {offer}\r\n");
        raw.write(handshake(&path, &offer).as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let answer = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-extensions")
                .then(|| value.to_owned())
        });
        let keeps = !answer.as_deref().unwrap_or(FRESH).contains("no_context");
        let client = Self {
            raw,
            packer: Compress::new(Compression::default(), false),
            unpacker: Decompress::new(false),
            keeps,
            received: 0,
        };
        (client, answer)
    }

    fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !self.keeps {
            self.packer.reset();
        }
        let mut packed = Vec::with_capacity(bytes.len() + 1000);
        self.packer
            .compress_vec(bytes, &mut packed, FlushCompress::Sync)
            .unwrap();
        packed.truncate(packed.len() - TAIL.len());
        packed
    }

    /// The next message, and whether it came compressed.
    async fn next(&mut self) -> (Message, bool) {
        let (first, payload) = self.raw.frame().await.expect("a frame");
        self.received = payload.len();
        let packed = first == FIN | RSV1 | BINARY;
        if !packed {
            assert_eq!(first, FIN | BINARY);
            return (Message::decode(&payload[..]).unwrap(), false);
        }
        if !self.keeps {
            self.unpacker.reset(false);
        }
        let mut body = Vec::with_capacity(4 << 20);
        let input = [&payload[..], &TAIL].concat();
        self.unpacker
            .decompress_vec(&input, &mut body, FlushDecompress::Sync)
            .unwrap();
        (Message::decode(&body[..]).unwrap(), true)
    }

    /// Sends a compressed message, and expects the same body back. Whether that came compressed.
    async fn ask(&mut self, key: &str, body: &str) -> bool {
        let packed = self.pack(&business(key, body));
        self.raw.write(&masked(FIN | RSV1 | BINARY, &packed)).await;
        self.answered(key, body).await
    }

    async fn answered(&mut self, key: &str, body: &str) -> bool {
        let (message, packed) = self.next().await;
        assert_eq!(message.cmd(), Command::UpstreamAck);
        assert_eq!((&*message.key, &message.body[..]), (key, body.as_bytes()));
        packed
    }
}

fn business(key: &str, body: &str) -> Vec<u8> {
    let message = Message {
        cmd: Command::UpstreamMessage.into(),
        key: key.into(),
        body: body.to_owned().into(),
        fault: None,
    };
    message.encode_to_vec()
}

fn long() -> String {
    "All work and no play. ".repeat(100)
}

#[tokio::test]
async fn each_client_gets_what_it_can() {
    let gateway = gateway("").await;
    for (offer, answer) in [
        (OFFER, Some(FRESH)),
        ("permessage-deflate; bogus, permessage-deflate", Some(FRESH)),
        (
            "permessage-deflate; server_max_window_bits=\"9\"",
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=9",
            ),
        ),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; bogus", None),
        ("x-webkit-deflate-frame", None),
    ] {
        let (mut client, agreed) = Client::open(gateway.address(), "ann", offer).await;
        assert_eq!(agreed.as_deref(), answer, "{offer}");
        if answer.is_some() {
            assert!(client.ask("1", &long()).await, "{offer}");
        } else {
            let plain = masked(FIN | BINARY, &business("1", &long()));
            client.raw.write(&plain).await;
            assert!(!client.answered("1", &long()).await, "{offer}");
        }
    }
}

#[tokio::test]
async fn nothing_is_compressed_where_it_is_off() {
    let gateway = Setup::default().start().await;
    let (mut client, agreed) = Client::open(gateway.address(), "ann", OFFER).await;
    assert_eq!(agreed, None);
    client
        .raw
        .write(&masked(FIN | BINARY, &business("1", &long())))
        .await;
    assert!(!client.answered("1", &long()).await);
}

#[tokio::test]
async fn small_messages_go_as_they_are() {
    let gateway = gateway("min_size: 1KiB").await;
    let (mut client, _) = Client::open(gateway.address(), "ann", OFFER).await;
    assert!(!client.ask("1", &"a".repeat(900)).await);
    assert!(client.ask("2", &"a".repeat(1100)).await);
    assert!(client.received < 100, "{} bytes", client.received);
}

#[tokio::test]
async fn context_is_kept_where_both_agree() {
    let gateway = gateway("context_takeover: true, min_size: 0B").await;
    let secret: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(800)
        .collect();
    let (mut kept, agreed) = Client::open(gateway.address(), "ann", OFFER).await;
    assert_eq!(agreed.as_deref(), Some("permessage-deflate"));
    assert!(kept.ask("1", &secret).await);
    let first = kept.received;
    // Its own message refers to the first one as well.
    let packed = kept.pack(&business("2", &secret));
    assert!(packed.len() < 100);
    kept.raw.write(&masked(FIN | RSV1 | BINARY, &packed)).await;
    assert!(kept.answered("2", &secret).await);
    assert!(kept.received < first / 5, "{} of {first}", kept.received);

    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let (mut fresh, agreed) = Client::open(gateway.address(), "bob", offer).await;
    assert_eq!(agreed.as_deref(), Some(FRESH));
    fresh.ask("1", &secret).await;
    let first = fresh.received;
    fresh.ask("2", &secret).await;
    // Another key takes a few bits more or less.
    let second = fresh.received;
    assert!(second.abs_diff(first) < 20, "{second} after {first}");
}

#[tokio::test]
async fn a_message_may_come_in_pieces() {
    let gateway = gateway("").await;
    let (mut client, _) = Client::open(gateway.address(), "ann", OFFER).await;
    for size in [1, 7, 40] {
        let packed = client.pack(&business("1", &long()));
        let mut first = RSV1 | BINARY;
        for piece in packed.chunks(size) {
            client.raw.write(&masked(first, piece)).await;
            first = CONTINUATION;
        }
        client.raw.write(&masked(FIN | PING, b"alive?")).await;
        let pong = client.raw.frame().await;
        assert_eq!(pong, Some((FIN | PONG, b"alive?".to_vec())));
        client.raw.write(&masked(FIN | CONTINUATION, b"")).await;
        assert!(client.answered("1", &long()).await);
    }
}

#[tokio::test]
async fn a_large_push_arrives() {
    let gateway = Setup {
        listener: "websocket: { max_queued: 4MiB, compression: { enabled: true } }",
        ..Setup::default()
    };
    let gateway = gateway.start().await;
    let caller = Caller::new(gateway.push_address());
    let (mut client, _) = Client::open(gateway.address(), "ann", OFFER).await;
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(300_000)
        .collect();
    let mut half = random.clone();
    half.resize(900_000, 7);
    for (key, body, packs) in [("1", half, true), ("2", random, false)] {
        let request = PushRequest {
            body: body.clone().into(),
            ack: Some(false),
            ..push(key, &["ann"])
        };
        let pushing = tokio::spawn({
            let caller = caller.clone();
            async move { caller.push_one(request).await }
        });
        let (message, packed) = client.next().await;
        assert!(message.body == body, "push {key}");
        assert_eq!(packed, packs, "push {key}");
        assert!(client.received < 310_000, "{}", client.received);
        assert_eq!(pushing.await.unwrap().status(), Status::Sent);
    }
}
