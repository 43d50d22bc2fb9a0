//! What frames may hold and how they may come.

use std::time::Duration;

use linkgate_filter::Form;
use linkgate_proto::v1::{Command, Message};
use serde_json::json;
use tokio::time::sleep;

use super::{SOON, arrived, round_trip};
use crate::client::link::{Link, message, push};
use crate::client::stage::{COMES, Stage};
use crate::client::{Checked, frames};

async fn send(link: &mut Link, what: &str, payload: &[u8]) -> Checked {
    let frame = frames::build(true, frames::opcode(link.form()), payload);
    link.raw(what, &frame).await
}

pub(in super::super) async fn unknown_command(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let payload = match link.form() {
        Form::Protobuf => {
            let later = Message {
                cmd: 99,
                ..message(Command::Heartbeat, "x-1")
            };
            frames::encode(Form::Protobuf, &later)
        }
        Form::Json => json!({ "cmd": "TELEPORT", "key": "x-1" })
            .to_string()
            .into_bytes(),
    };
    send(
        &mut link,
        "a command that only later versions know",
        &payload,
    )
    .await?;
    round_trip(&mut link, "p-1", "news").await
}

pub(in super::super) async fn unknown_fields(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let known = push("p-1", "news");
    let mut payload = frames::encode(link.form(), &known);
    match link.form() {
        // Field 15: a varint. Field 200: two bytes. Field 201: eight bytes.
        Form::Protobuf => payload.extend([
            0x78, 0x05, 0xc2, 0x0c, 0x02, 1, 2, 0xc9, 0x0c, 1, 2, 3, 4, 5, 6, 7, 8,
        ]),
        Form::Json => {
            payload.pop();
            payload.extend(br#","priority":7,"trace":{"id":["a",null]},"later":true}"#);
        }
    }
    send(
        &mut link,
        "DOWNSTREAM_MESSAGE \"p-1\" \"news\" with fields of later versions",
        &payload,
    )
    .await?;
    arrived(&mut link, "p-1", "news").await
}

pub(in super::super) async fn fragments(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let payload = frames::encode(link.form(), &push("p-1", "in-five-pieces"));
    let size = payload.len().div_ceil(5);
    let pieces: Vec<_> = payload.chunks(size).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 {
            frames::opcode(link.form())
        } else {
            frames::CONTINUATION
        };
        let last = at + 1 == pieces.len();
        link.raw(
            "a piece of DOWNSTREAM_MESSAGE \"p-1\"",
            &frames::build(last, opcode, piece),
        )
        .await?;
        if at == 1 {
            link.ping(b"between").await?;
            link.until("a pong between the pieces", SOON, |heard| {
                heard.pongs.iter().any(|pong| *pong == "between")
            })
            .await?;
        }
    }
    arrived(&mut link, "p-1", "in-five-pieces").await
}

pub(in super::super) async fn byte_by_byte(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let frame = link.framed(&push("p-1", "slow"));
    for byte in &frame {
        link.raw("one byte", std::slice::from_ref(byte)).await?;
        sleep(Duration::from_millis(4)).await;
    }
    arrived(&mut link, "p-1", "slow").await
}

pub(in super::super) async fn in_one_piece(stage: &mut Stage) -> Checked {
    let knock = stage.knock(COMES).await?;
    let mut link = stage.open_with(knock, Some(&push("p-0", "early"))).await?;
    arrived(&mut link, "p-0", "early").await?;
    let mut bytes = Vec::new();
    for at in 1..=3 {
        bytes.extend(link.framed(&push(&format!("p-{at}"), &format!("news-{at}"))));
    }
    link.raw(
        "DOWNSTREAM_MESSAGE \"p-1\", \"p-2\", \"p-3\" in one write",
        &bytes,
    )
    .await?;
    for at in 1..=3 {
        arrived(&mut link, &format!("p-{at}"), &format!("news-{at}")).await?;
    }
    Ok(())
}

pub(in super::super) async fn large_message(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let body: String = (0..64 * 1024)
        .map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap_or(0)))
        .collect();
    round_trip(&mut link, "p-1", &body).await
}
