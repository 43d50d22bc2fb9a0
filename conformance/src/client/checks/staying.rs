//! Heartbeats, redirects, goodbyes.

use std::time::Duration;

use bytes::Bytes;
use linkgate_filter::CloseCode;
use linkgate_proto::v1::{Command, Message, Redirect};
use tokio::time::Instant;

use super::{SOON, ensure, round_trip, sent_again, work};
use crate::client::link::{Link, message};
use crate::client::log::ms;
use crate::client::settings::{ECHO, HEARTBEAT};
use crate::client::stage::{COMES, Knock, Stage};
use crate::client::{Checked, Failure};

/// What a redirect asks to wait.
const AFTER: Duration = Duration::from_millis(500);

pub(in super::super) async fn ping(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    for payload in ["", "a payload of up to 125 bytes"] {
        link.ping(payload.as_bytes()).await?;
        link.until(
            &format!("a pong with the ping's payload {payload:?}"),
            SOON,
            |heard| heard.pongs.iter().any(|pong| *pong == payload),
        )
        .await?;
    }
    Ok(())
}

pub(in super::super) async fn heartbeat(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    link.until("two heartbeats", HEARTBEAT * 2 + SOON, |heard| {
        heard.all(Command::Heartbeat).count() > 1
    })
    .await
}

pub(in super::super) async fn silence(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    link.echoes = false;
    let within = (HEARTBEAT + ECHO) * 2 + SOON;
    let _new = stage.knock_beside(&mut link, within).await?;
    Ok(())
}

async fn redirect_to(link: &mut Link, urls: Vec<String>, after: Duration) -> Checked<Instant> {
    let redirect = Redirect {
        urls,
        after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
        reason: "drain".into(),
    };
    let body = Bytes::from(serde_json::to_vec(&redirect).unwrap_or_default());
    link.say(&Message {
        body,
        ..message(Command::Redirect, "")
    })
    .await?;
    Ok(Instant::now())
}

/// Sees that a client that was redirected comes to the other node, and not too soon.
fn came(knock: &Knock, asked: Instant, after: Duration) -> Checked {
    let node = knock.parameter("node");
    ensure(
        node.as_deref() == Some("2"),
        "a connection to the address of the redirect",
        || "one to another address".into(),
    )?;
    let waited = knock.at - asked;
    ensure(
        waited + Duration::from_millis(5) >= after,
        &format!("a connection after {}", ms(after)),
        || format!("one after {}", ms(waited)),
    )
}

pub(in super::super) async fn redirect(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    let asked = redirect_to(&mut link, vec![stage.other()], AFTER).await?;
    link.close(CloseCode::REDIRECT).await?;
    let knock = stage.knock(AFTER + SOON).await?;
    came(&knock, asked, AFTER)?;
    let mut link = stage.open(knock).await?;
    sent_again(&mut link, &key).await
}

pub(in super::super) async fn redirect_leaves(stage: &mut Stage) -> Checked {
    let mut old = stage.link().await?;
    round_trip(&mut old, "p-1", "news").await?;
    let asked = redirect_to(&mut old, vec![stage.other()], AFTER).await?;
    let knock = stage.knock_beside(&mut old, AFTER + SOON).await?;
    came(&knock, asked, AFTER)?;
    let mut new = stage.open(knock).await?;
    round_trip(&mut new, "p-2", "more news").await?;
    old.left("an end of the old connection", SOON)
        .await
        .map(|_| ())
}

pub(in super::super) async fn redirect_next(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    // Nobody listens there: the port was given back.
    let closed = async {
        tokio::net::TcpListener::bind("127.0.0.1:0")
            .await?
            .local_addr()
    }
    .await;
    let closed = closed.map_err(|error| Failure::new("a port", error.to_string()))?;
    let urls = vec![format!("ws://{closed}/ws"), stage.other()];
    let asked = redirect_to(&mut link, urls, Duration::ZERO).await?;
    link.close(CloseCode::REDIRECT).await?;
    let knock = stage.knock(COMES).await?;
    came(&knock, asked, Duration::ZERO)?;
    let mut link = stage.open(knock).await?;
    round_trip(&mut link, "p-2", "more news").await
}

pub(in super::super) async fn redirect_nowhere(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    redirect_to(&mut link, Vec::new(), Duration::ZERO).await?;
    link.close(CloseCode::REDIRECT).await?;
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-2", "more news").await
}

pub(in super::super) async fn close_answered(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    let answered = link.close(CloseCode::SHUTDOWN).await?;
    ensure(
        answered,
        "a close frame in answer to the gateway's, within 1000 ms",
        || "the end of the connection, or nothing".into(),
    )
}

pub(in super::super) async fn close_handshake(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    link.push("p-1", "close").await?;
    let code = link.left("a close frame", SOON).await?;
    ensure(
        matches!(code, Some(1000 | 1001 | 1005)),
        "a close frame with 1000",
        || match code {
            Some(code) => format!("one with {code}"),
            None => "the end of the connection without one".into(),
        },
    )?;
    stage
        .nobody(
            Duration::from_millis(500),
            "a client that stays away when it is closed",
        )
        .await
}
