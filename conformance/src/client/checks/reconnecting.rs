//! When a client comes back, when it does not, and how soon.

use std::time::Duration;

use linkgate_filter::CloseCode;
use tokio::time::Instant;

use super::{SOON, ensure, report, round_trip, sent_again, work};
use crate::client::link::{Link, push};
use crate::client::log::ms;
use crate::client::settings::BACKOFF;
use crate::client::stage::{COMES, Stage};
use crate::client::{Checked, Failure};

/// How long it is watched that a client stays away: its first waits are far shorter.
const AWAY: Duration = Duration::from_millis(1200);
/// What a wait may be longer by, as machines are busy.
const SLACK: Duration = Duration::from_millis(400);
/// Connections that are lost in a row.
const LOSSES: u32 = 7;

pub(in super::super) async fn refused_401(stage: &mut Stage) -> Checked {
    let knock = stage.knock(COMES).await?;
    let token = knock.token();
    stage.refuse(knock, "401 Unauthorized", "").await;
    same_token_stays_away(stage, token).await.map(|_| ())
}

/// Sees that nobody comes with that token; one who comes with another is let in.
async fn same_token_stays_away(stage: &mut Stage, token: Option<String>) -> Checked<Option<Link>> {
    let Some(token) = token else {
        return Err(Failure::new(
            "a handshake with the driver's token",
            "one without a token",
        ));
    };
    match stage.knock(AWAY).await {
        Err(_) => Ok(None),
        Ok(knock) if knock.token().is_some_and(|again| again != token) => {
            let mut link = stage.open(knock).await?;
            link.answers = false;
            round_trip(&mut link, "p-back", "back").await?;
            Ok(Some(link))
        }
        Ok(_) => Err(Failure::new(
            "no connection with the token that was refused",
            "one",
        )),
    }
}

pub(in super::super) async fn refused_503(stage: &mut Stage) -> Checked {
    let knock = stage.knock(COMES).await?;
    let at = stage
        .refuse(knock, "503 Service Unavailable", "Retry-After: 1\r\n")
        .await;
    let knock = stage.knock(COMES).await?;
    let waited = knock.at - at;
    ensure(
        waited + Duration::from_millis(5) >= Duration::from_secs(1),
        "an attempt after 1000 ms, as Retry-After says",
        || format!("one after {}", ms(waited)),
    )?;
    let mut link = stage.open(knock).await?;
    round_trip(&mut link, "p-1", "news").await
}

pub(in super::super) async fn resend(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let bodies = ["work-1", "work-2", "work-3"];
    let mut keys = Vec::new();
    for body in bodies {
        keys.push(work(&mut link, body).await?);
    }
    link.cut();
    let mut link = stage.link().await?;
    link.answers = false;
    link.until("the three messages again", SOON, |heard| {
        bodies
            .iter()
            .all(|body| heard.sends(body).iter().any(|said| said.link == 2))
    })
    .await?;
    let first = |body: &&str| {
        stage.log.ask(|heard| {
            let again = heard.sends(body).into_iter().find(|said| said.link == 2);
            again.map(|said| (said.at, said.message.key.clone()))
        })
    };
    let again: Vec<_> = bodies.iter().filter_map(first).collect();
    ensure(
        again.iter().map(|(_, key)| key).eq(&keys),
        "the keys as before",
        || "others".into(),
    )?;
    ensure(
        again.is_sorted_by_key(|(at, _)| *at),
        "the oldest first",
        || "another order".into(),
    )?;
    for (body, key) in bodies.iter().zip(&keys) {
        link.accept(key, "ok").await?;
        report(&mut link, &format!("accepted {body} ok")).await?;
    }
    Ok(())
}

pub(in super::super) async fn cut(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    let frame = link.framed(&push("p-2", "half-of-it"));
    link.raw(
        "half of DOWNSTREAM_MESSAGE \"p-2\"",
        &frame[..frame.len() / 2],
    )
    .await?;
    link.cut();
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-3", "after the cut").await?;
    let half = stage.log.ask(|heard| heard.acks("p-2"));
    ensure(half == 0, "no acknowledgement of half a push", || {
        "one".into()
    })?;
    round_trip(&mut link, "p-2", "half-of-it").await
}

async fn comes_back(stage: &mut Stage, codes: &[u16]) -> Checked {
    for code in codes {
        let mut link = stage.link().await?;
        round_trip(&mut link, &format!("p-{code}"), &format!("before-{code}")).await?;
        link.close(CloseCode::new(*code)).await?;
    }
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-last", "the last").await
}

pub(in super::super) async fn close_again(stage: &mut Stage) -> Checked {
    comes_back(stage, &[1011, 4000, 4002, 4003, 4004]).await
}

pub(in super::super) async fn close_again_unknown(stage: &mut Stage) -> Checked {
    comes_back(stage, &[4099, 4499]).await
}

pub(in super::super) async fn stays_away<const CODE: u16>(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    round_trip(&mut link, "p-1", "news").await?;
    link.close(CloseCode::new(CODE)).await?;
    stage
        .nobody(AWAY, &format!("no connection by itself after {CODE}"))
        .await
}

/// Lets the token expire while a message waits for its answer.
async fn expire(stage: &mut Stage) -> Checked<(String, Option<Link>)> {
    let knock = stage.knock(COMES).await?;
    let token = knock.token();
    let mut link = stage.open(knock).await?;
    let key = work(&mut link, "work-1").await?;
    link.close(CloseCode::TOKEN_EXPIRED).await?;
    Ok((key, same_token_stays_away(stage, token).await?))
}

pub(in super::super) async fn token_expired(stage: &mut Stage) -> Checked {
    expire(stage).await.map(|_| ())
}

pub(in super::super) async fn token_renewed(stage: &mut Stage) -> Checked {
    let (key, link) = expire(stage).await?;
    let none = || Failure::new("a connection with a fresh token", "none");
    let mut link = link.ok_or_else(none)?;
    sent_again(&mut link, &key).await
}

/// The waits before each connection, where each is lost at once.
async fn waits(stage: &mut Stage) -> Checked<Vec<Duration>> {
    let mut waits = Vec::new();
    let mut lost: Option<Instant> = None;
    for _ in 0..=LOSSES {
        let knock = stage.knock(COMES).await?;
        waits.extend(lost.map(|lost| knock.at - lost));
        lost = Some(Instant::now());
        stage.open(knock).await?.close(CloseCode::SHUTDOWN).await?;
    }
    Ok(waits)
}

fn listed(waits: &[Duration]) -> String {
    let waits: Vec<_> = waits.iter().map(|wait| ms(*wait)).collect();
    format!("waits of {}", waits.join(", "))
}

/// The limit of the wait after so many losses.
fn limit(losses: usize) -> Duration {
    BACKOFF * (1 << losses.min(16))
}

pub(in super::super) async fn backoff(stage: &mut Stage) -> Checked {
    /// Far less than what chance gives (1.3 s on average), far more than without growing waits.
    const LEAST: Duration = Duration::from_millis(160);
    let waits = waits(stage).await?;
    for (losses, wait) in waits.iter().enumerate() {
        ensure(
            *wait <= limit(losses) + SLACK,
            &format!(
                "a wait of at most {} after loss {}",
                ms(limit(losses)),
                losses + 1
            ),
            || listed(&waits),
        )?;
    }
    let sum: Duration = waits.iter().sum();
    ensure(
        sum >= LEAST,
        &format!("waits that grow: {} at least in all", ms(LEAST)),
        || listed(&waits),
    )
}

pub(in super::super) async fn jitter(stage: &mut Stage) -> Checked {
    let waits = waits(stage).await?;
    // Without chance each wait is the same part of its limit, and a bit more where the machine is busy. The first ones are
    // too short to tell.
    let long: Vec<_> = waits
        .iter()
        .enumerate()
        .skip(3)
        .map(|(losses, wait)| (wait.as_secs_f64(), limit(losses).as_secs_f64()))
        .collect();
    let part = long
        .iter()
        .map(|(wait, limit)| wait / limit)
        .fold(f64::MAX, f64::min);
    let alike = |(wait, limit): &(f64, f64)| wait - part * limit <= 0.015 + 0.02 * limit;
    ensure(!long.iter().all(alike), "waits that vary by chance", || {
        listed(&waits)
    })
}
