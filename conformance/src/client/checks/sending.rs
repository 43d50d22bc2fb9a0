//! Messages of the client: keys, answers, retries.

use std::time::Duration;

use linkgate_filter::Form;
use linkgate_proto::v1::{Command, Fault, Message, fault};
use serde_json::json;
use tokio::time::Instant;

use super::{SOON, ensure, report, work};
use crate::client::link::{Link, message};
use crate::client::log::ms;
use crate::client::settings::ANSWER_TIMEOUT;
use crate::client::stage::Stage;
use crate::client::{Checked, frames};

/// What a NACK or a limit asks a client to wait: longer than its own patience.
const ASKED: Duration = Duration::from_millis(700);
/// More messages than a client may leave without an answer.
const FLOOD: usize = 320;
/// What the gateway's default is.
const UNANSWERED: usize = 256;

fn fault(code: &str, retryable: bool, after: Duration) -> Fault {
    Fault {
        code: code.into(),
        source: fault::Source::Backend.into(),
        retryable,
        retry_after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
        effect: fault::Effect::None.into(),
        detail: String::new(),
    }
}

pub(in super::super) async fn keys(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    for at in 0..10 {
        link.push(&format!("p-{at}"), "alike").await?;
    }
    link.until(
        "ten messages with ten keys, of at most 128 bytes",
        SOON,
        |heard| {
            heard.handed("alike") == 10
                && heard
                    .sends("alike")
                    .iter()
                    .all(|said| said.message.key.len() <= 128)
        },
    )
    .await
}

pub(in super::super) async fn answers_by_key(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let mut keys = Vec::new();
    for body in ["work-1", "work-2", "work-3"] {
        keys.push((body, work(&mut link, body).await?));
    }
    for (body, key) in keys.iter().rev() {
        link.accept(key, &format!("answer-to-{body}")).await?;
    }
    for (body, _) in keys {
        report(&mut link, &format!("accepted {body} answer-to-{body}")).await?;
    }
    Ok(())
}

pub(in super::super) async fn stray_answers(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    link.accept("nobody-asked", "stray").await?;
    link.accept("", "stray").await?;
    link.refuse(
        Command::UpstreamNack,
        "",
        fault("codec.garbage", false, Duration::ZERO),
    )
    .await?;
    for answer in ["first", "second"] {
        link.accept(&key, answer).await?;
    }
    report(&mut link, "accepted work-1 first").await?;
    link.during(ANSWER_TIMEOUT).await?;
    let second = stage
        .log
        .ask(|heard| heard.handed("accepted work-1 second"));
    ensure(second == 0, "one answer for the application", || {
        "it got both".into()
    })
}

pub(in super::super) async fn lost_ack(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    // On another connection it counts as well.
    link.until("the message once more", ANSWER_TIMEOUT * 5, |heard| {
        heard.sends("work-1").len() > 1
    })
    .await?;
    let keys = stage.log.ask(|heard| heard.handed("work-1"));
    ensure(keys == 1, "the message again under its key", || {
        "another key: a second message".into()
    })?;
    link.accept(&key, "ok").await?;
    report(&mut link, "accepted work-1 ok").await?;
    let before = stage.log.ask(|heard| heard.sends("work-1").len());
    link.during(ANSWER_TIMEOUT * 3).await?;
    let after = stage.log.ask(|heard| heard.sends("work-1").len());
    ensure(
        before == after,
        "no copy of a message that was accepted",
        || "one".into(),
    )
}

pub(in super::super) async fn patience(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    work(&mut link, "work-1").await?;
    link.during(ANSWER_TIMEOUT * 8).await?;
    let at: Vec<Instant> = stage
        .log
        .ask(|heard| heard.sends("work-1").iter().map(|s| s.at).collect());
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let seen = || {
        format!(
            "waits of {}",
            waits.iter().map(|w| ms(*w)).collect::<Vec<_>>().join(", ")
        )
    };
    let least = ANSWER_TIMEOUT / 2;
    ensure(
        !waits.is_empty(),
        "the message again while it has no answer",
        || "it is sent once".into(),
    )?;
    ensure(
        waits.iter().all(|wait| *wait >= least),
        &format!(
            "no copy before half of the patience of {}",
            ms(ANSWER_TIMEOUT)
        ),
        seen,
    )?;
    // Twice as long each time: copies after 1, 3 and 7 times the patience; chance may add one.
    ensure(
        waits.len() <= 4,
        &format!(
            "at most 4 copies in {}, as each wait is twice as long",
            ms(ANSWER_TIMEOUT * 8)
        ),
        seen,
    )
}

/// Refuses with "try again after", and sees when the message comes again.
async fn comes_again(stage: &mut Stage, cmd: Command, code: &str) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    let sends = |link: &Link| link.log().ask(|heard| heard.sends("work-1").len());
    let before = sends(&link);
    link.refuse(cmd, &key, fault(code, true, ASKED)).await?;
    let refused = Instant::now();
    link.until("the message again", ASKED + SOON, |heard| {
        heard.sends("work-1").len() > before
    })
    .await?;
    let waited = refused.elapsed();
    ensure(
        waited + Duration::from_millis(5) >= ASKED,
        &format!("the message again after {}", ms(ASKED)),
        || format!("it comes after {}", ms(waited)),
    )?;
    let same = stage.log.ask(|heard| heard.handed("work-1") == 1);
    ensure(same, "the message again under its key", || {
        "another key: a second message".into()
    })?;
    link.accept(&key, "ok").await?;
    report(&mut link, "accepted work-1 ok").await
}

pub(in super::super) async fn nack_retryable(stage: &mut Stage) -> Checked {
    comes_again(stage, Command::UpstreamNack, "grpc.unavailable").await
}

pub(in super::super) async fn rate_limited(stage: &mut Stage) -> Checked {
    comes_again(stage, Command::RateLimitExceeded, "rate_limit.exceeded").await
}

pub(in super::super) async fn rate_limited_nack(stage: &mut Stage) -> Checked {
    comes_again(stage, Command::UpstreamNack, "rate_limit.exceeded").await
}

pub(in super::super) async fn nack_hot_loop(stage: &mut Stage) -> Checked {
    const MOST: usize = 30;
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    let until = Instant::now() + Duration::from_secs(1);
    let mut seen = 1;
    while Instant::now() < until && seen <= MOST {
        let copies = stage.log.ask(|heard| heard.sends("work-1").len());
        for _ in seen..=copies {
            link.refuse(
                Command::UpstreamNack,
                &key,
                fault("mq.full", true, Duration::ZERO),
            )
            .await?;
        }
        seen = copies + 1;
        link.during(Duration::from_millis(2)).await?;
    }
    let copies = stage.log.ask(|heard| heard.sends("work-1").len());
    ensure(copies > 1, "the message again", || {
        "it is not sent again".into()
    })?;
    ensure(
        copies <= MOST,
        "waits that grow while a message is refused",
        || format!("{copies} copies within a second"),
    )
}

pub(in super::super) async fn nack_final(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    let before = stage.log.ask(|heard| heard.sends("work-1").len());
    link.refuse(
        Command::UpstreamNack,
        &key,
        fault("decrypt.refused", false, Duration::ZERO),
    )
    .await?;
    report(&mut link, "refused work-1").await?;
    link.during(ANSWER_TIMEOUT * 3).await?;
    let after = stage.log.ask(|heard| heard.sends("work-1").len());
    ensure(
        before == after,
        "no copy of a message that was refused for good",
        || "one".into(),
    )?;
    let next = work(&mut link, "work-2").await?;
    ensure(next != key, "another key for another message", || {
        format!("{next:?} once more")
    })
}

pub(in super::super) async fn unknown_enum(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    let key = work(&mut link, "work-1").await?;
    let payload = match link.form() {
        Form::Protobuf => {
            let known = fault("later.version", false, Duration::ZERO);
            let fault = Some(Fault {
                source: 99,
                effect: 77,
                ..known
            });
            let nack = message(Command::UpstreamNack, &key);
            frames::encode(link.form(), &Message { fault, ..nack })
        }
        // As the gateway writes enums: by name.
        Form::Json => {
            let fault =
                json!({ "code": "later.version", "source": "NETWORK", "effect": "PARTIAL" });
            let nack = json!({ "cmd": "UPSTREAM_NACK", "key": key, "fault": fault });
            nack.to_string().into_bytes()
        }
    };
    let frame = frames::build(true, frames::opcode(link.form()), &payload);
    let what = format!("UPSTREAM_NACK {key:?}, not retryable, source and effect of later versions");
    link.raw(&what, &frame).await?;
    // A client that has skipped it would send the message again.
    report(&mut link, "refused work-1").await
}

pub(in super::super) async fn bounded(stage: &mut Stage) -> Checked {
    let mut link = stage.link().await?;
    link.answers = false;
    for at in 0..FLOOD {
        link.push(&format!("p-{at}"), &format!("flood-{at}"))
            .await?;
    }
    link.during(ANSWER_TIMEOUT * 3).await?;
    let keys = stage.log.ask(|heard| {
        let all = heard
            .all(Command::UpstreamMessage)
            .map(|said| said.message.key.clone());
        all.collect::<std::collections::BTreeSet<_>>().len()
    });
    ensure(keys > 0, "messages", || "none".into())?;
    ensure(
        keys <= UNANSWERED,
        &format!("at most {UNANSWERED} messages without an answer"),
        || format!("{keys}"),
    )
}
