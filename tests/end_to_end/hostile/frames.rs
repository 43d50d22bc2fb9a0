//! Frames and messages that break the rules of an open link.

use super::*;
use crate::common::raw::{CLOSE, CONTINUATION, PONG, announced, handshake, unmasked};

#[tokio::test]
async fn frames_that_are_no_messages_close_their_link() {
    let gateway = gateway("websocket: { max_message: 4KiB }").await;
    let garbage = masked(FIN | BINARY, b"\xff\xff\xff\xff");
    let text = masked(FIN | 0x1, b"{}");
    let not_utf8 = masked(FIN | 0x1, b"\xc3\x28");
    let oversize = masked(FIN | BINARY, &[0; 5000]);
    let announced = announced(FIN | BINARY, 1 << 40);
    let naked = unmasked(FIN | BINARY, &business("1"));
    let reserved = masked(FIN | 0x40 | BINARY, &business("1"));
    let unknown = masked(FIN | 0x5, b"");
    let long_ping = masked(FIN | PING, &[0; 200]);
    let cut_ping = masked(PING, b"");
    let middle = masked(FIN | CONTINUATION, b"");
    let cases = [
        (&garbage, CloseCode::GARBAGE),
        (&text, CloseCode::UNSUPPORTED),
        (&not_utf8, CloseCode::INVALID_TEXT),
        (&oversize, CloseCode::TOO_BIG),
        (&announced, CloseCode::TOO_BIG),
        (&naked, CloseCode::PROTOCOL),
        (&reserved, CloseCode::PROTOCOL),
        (&unknown, CloseCode::PROTOCOL),
        (&long_ping, CloseCode::PROTOCOL),
        (&cut_ping, CloseCode::PROTOCOL),
        (&middle, CloseCode::PROTOCOL),
    ];
    let mut quiet = Client::connect(&gateway.target("quiet")).await;
    for (n, (frame, code)) in cases.iter().enumerate() {
        let mut raw = Raw::link(gateway.address(), "eve").await;
        raw.write(frame).await;
        assert_eq!(raw.close_code().await, Some(code.code()), "case {n}");
        drop(raw);
        let of_code = cases[..=n]
            .iter()
            .filter(|(_, other)| other == code)
            .count();
        counts(&gateway, code.name(), of_code as u64, |metrics| {
            metrics.closed(code.name())
        })
        .await;
    }
    assert_eq!(quiet.ask("1", "hi").await, Answer::Ack("hi".into()));
    serves(&gateway).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.faults("codec", "codec.garbage"), 1);
    assert_eq!(metrics.faults("codec", "codec.wrong_form"), 1);
}

#[tokio::test]
async fn the_gateway_ends_the_connection_of_a_client_that_broke_the_protocol() {
    for compression in ["", "enabled: true", "enabled: true, context_takeover: true"] {
        let gateway = gateway(&format!(
            "timeouts: {{ close: 60s }}, websocket: {{ compression: {{ {compression} }} }}"
        ))
        .await;
        let offer = "sec-websocket-extensions: permessage-deflate\r\n";
        let mut raw = Raw::connect(gateway.address()).await;
        let request = handshake("/ws?biz_id=chat&user_id=eve", offer);
        raw.write(request.as_bytes()).await;
        let head = raw.head().await;
        assert_eq!(head.contains("permessage-deflate"), !compression.is_empty());
        // More of the message is on its way.
        raw.write(&masked(PING, b"")).await;
        raw.write(&masked(FIN | CONTINUATION, b"")).await;
        let code = raw.close_code().await;
        assert_eq!(code, Some(CloseCode::PROTOCOL.code()), "{compression}");
        raw.write(&masked(
            FIN | CLOSE,
            &CloseCode::PROTOCOL.code().to_be_bytes(),
        ))
        .await;
        raw.ended().await;
        drop(raw);
        counts(&gateway, "a broken link", 1, |metrics| {
            metrics.closed(CloseCode::PROTOCOL.name())
        })
        .await;
    }
}

#[tokio::test]
async fn messages_that_make_no_sense_are_refused_and_the_link_stays() {
    let gateway = gateway("websocket: { max_message: 100KiB }").await;
    let mut eve = Client::connect(&gateway.target("eve")).await;
    let long_key = "k".repeat(200);
    let cases = [
        (Command::UpstreamAck, "1", 0, "codec.unknown_command"),
        (Command::Unspecified, "2", 0, "codec.unknown_command"),
        (Command::UpstreamMessage, "", 0, "codec.missing_key"),
        (Command::UpstreamMessage, &long_key, 0, "codec.key_too_long"),
        (Command::UpstreamMessage, "3", 70_000, "codec.body_too_big"),
    ];
    for (command, key, body, code) in cases {
        eve.say(command, key, vec![0; body]).await;
        let fault = eve.answer().await.1.nack();
        assert_eq!((&*fault.code, fault.retryable), (code, false));
    }
    assert_eq!(eve.ask("4", "hi").await, Answer::Ack("hi".into()));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.faults("codec", "codec.unknown_command"), 2);
    assert_eq!(metrics.faults("codec", "codec.body_too_big"), 1);
}

#[tokio::test]
async fn a_flood_of_fragments_and_control_frames_holds_nobody_up() {
    let gateway = gateway("websocket: { max_message: 4KiB, max_frames: 1000000/s }").await;
    let mut quick = Client::connect(&gateway.target("quick")).await;
    quick.heartbeat("there").await;

    // A message in single bytes, with a ping and an empty fragment between each two of them.
    let mut eve = Raw::link(gateway.address(), "eve").await;
    let message = business("1");
    let (last, first) = message.split_last().unwrap();
    let mut flood = Vec::new();
    for (n, byte) in first.iter().enumerate() {
        let opcode = if n == 0 { BINARY } else { CONTINUATION };
        flood.extend(masked(opcode, &[*byte]));
        flood.extend(masked(FIN | PING, b"?"));
        flood.extend(masked(CONTINUATION, b""));
    }
    flood.extend(masked(FIN | CONTINUATION, &[*last]));
    eve.write(&flood).await;
    let mut pongs = 0;
    let answer = loop {
        match eve.frame().await.expect("the link is open") {
            (first, _) if first == FIN | PONG => pongs += 1,
            (_, payload) => break Message::decode(&*payload).unwrap(),
        }
    };
    assert_eq!((answer.cmd(), &*answer.key), (Command::UpstreamAck, "1"));
    assert!(pongs > 0);

    // Fragments without an end are a message that is too big.
    eve.write(&masked(BINARY, &[0; 100])).await;
    eve.write(&masked(CONTINUATION, &[0; 100]).repeat(60)).await;
    assert_eq!(eve.close_code().await, Some(CloseCode::TOO_BIG.code()));

    // Empty fragments without an end, and control frames without an end, beside somebody who behaves.
    let [mut empty, mut pings] = [
        Raw::link(gateway.address(), "empty").await,
        Raw::link(gateway.address(), "pings").await,
    ];
    empty.write(&masked(BINARY, b"")).await;
    let [empties, controls] =
        [masked(CONTINUATION, b""), masked(FIN | PONG, b"")].map(|frame| frame.repeat(20_000));
    let served = async {
        for n in 0..50 {
            let key = n.to_string();
            assert_eq!(quick.ask(&key, "hi").await, Answer::Ack("hi".into()));
        }
    };
    tokio::join!(empty.write(&empties), pings.write(&controls), served);
    pings
        .write(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()))
        .await;
    assert_eq!(pings.close_code().await, Some(1000));
    serves(&gateway).await;
}
