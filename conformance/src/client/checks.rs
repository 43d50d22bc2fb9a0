//! How each check is played, by theme. A check says what it does to the client and what it expects to see.

pub(super) mod frames;
pub(super) mod receiving;
pub(super) mod reconnecting;
pub(super) mod sending;
pub(super) mod staying;

use std::time::Duration;

use super::link::Link;
use super::{Checked, Failure};

/// How long an answer may take that needs no waiting.
const SOON: Duration = Duration::from_millis(1500);

/// Fails unless it holds.
fn ensure(holds: bool, expected: &str, seen: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Failure::new(expected, seen()))
    }
}

/// Gives the application work: it sends that body back, as a message that the check has to answer.
async fn work(link: &mut Link, body: &str) -> Checked<String> {
    link.answers = false;
    link.push(&format!("p-{body}"), body).await?;
    link.until(
        &format!("a message {body:?} from the application"),
        SOON,
        |heard| heard.handed(body) > 0,
    )
    .await?;
    Ok(link.log().ask(|heard| heard.key_of(body)))
}

/// Waits for a report of the application.
async fn report(link: &mut Link, report: &str) -> Checked {
    link.until(
        &format!("the application's report {report:?}"),
        SOON,
        |heard| heard.handed(report) > 0,
    )
    .await
}

/// Pushes, and sees that it is acknowledged and handed over.
async fn round_trip(link: &mut Link, key: &str, body: &str) -> Checked {
    link.push(key, body).await?;
    arrived(link, key, body).await
}

/// Sees that a push is acknowledged and handed over, once.
async fn arrived(link: &mut Link, key: &str, body: &str) -> Checked {
    link.until(
        &format!("an acknowledgement of the push {key:?}"),
        SOON,
        |heard| heard.acks(key) > 0,
    )
    .await?;
    link.until(
        &format!("the application to send {body:.20?} back"),
        SOON,
        |heard| heard.handed(body) > 0,
    )
    .await
}

/// Sees that the message `work-1` comes again on this connection, under its key, and answers it there.
async fn sent_again(link: &mut Link, key: &str) -> Checked {
    link.answers = false;
    link.until(
        "the message without an answer on the new connection",
        SOON,
        |heard| {
            heard
                .sends("work-1")
                .iter()
                .any(|said| said.link > 1 && said.message.key == key)
        },
    )
    .await?;
    link.accept(key, "ok").await?;
    report(link, "accepted work-1 ok").await
}
