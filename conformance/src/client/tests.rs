//! The kit judged: a check passes a client that is right, and fails one with the bug that it is there for.

mod bug;
mod toy;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use linkgate_client::{Limits, Socket, Target};
use linkgate_filter::Form;

use super::checklist::find;
use super::*;
use crate::report::{Outcome, Verdict};
use bug::Bug;
use toy::Toy;

/// Checks at the same time: most of them wait most of the time.
const JOBS: usize = 16;
const FORMS: [Form; 2] = [Form::Protobuf, Form::Json];

async fn kit() -> Kit {
    let options = Options {
        port: 0,
        by_hand: false,
        start: Duration::from_secs(10),
    };
    Kit::start(options).await.unwrap().0
}

fn all() -> impl Iterator<Item = (&'static Check, Form)> {
    FORMS
        .into_iter()
        .flat_map(|form| CHECKS.iter().map(move |check| (check, form)))
}

/// The texts of what did not pass.
fn complaints(outcomes: &[Outcome]) -> Vec<String> {
    let complaint = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Passed => None,
        Verdict::Failed(text) | Verdict::Warned(text) | Verdict::Skipped(text) => {
            Some(format!("{}: {text}", outcome.name))
        }
    };
    outcomes.iter().filter_map(complaint).collect()
}

/// Goes through the checklist. What is judged by chance may be played once more: its odds are some thousand to one.
async fn passes<D: Future<Output = String>>(client: impl Fn(Offer) -> D) {
    let kit = kit().await;
    let runs = all().map(async |(check, form)| {
        let outcome = kit.judge(check, form, &client).await;
        let chance = matches!(check.id, "backoff" | "jitter");
        if chance && outcome.verdict != Verdict::Passed {
            return kit.judge(check, form, &client).await;
        }
        outcome
    });
    let outcomes: Vec<_> = stream::iter(runs).buffered(JOBS).collect().await;
    let complaints = complaints(&outcomes);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn linkgates_own_client_passes_every_check() {
    passes(drive).await;
}

#[tokio::test]
async fn a_toy_without_a_bug_passes_every_check() {
    passes(|offer| Toy::new(offer, Bug::None).drive()).await;
}

/// Bugs, the checks that find them, and what these say.
const FINDS: &[(Bug, &str, &str)] = &[
    (
        Bug::Stubborn,
        "refused-401",
        "no connection with the token that was refused",
    ),
    (Bug::Hasty, "refused-503", "as Retry-After says"),
    (Bug::Strict, "unknown-command", "an acknowledgement"),
    (Bug::Strict, "unknown-fields", "an acknowledgement"),
    (Bug::Strict, "unknown-enum", "hung up instead"),
    (
        Bug::NoFragments,
        "fragments",
        "an acknowledgement of the push \"p-1\"",
    ),
    (Bug::NoPong, "fragments", "a pong between the pieces"),
    (Bug::ReadsOnce, "byte-by-byte", "an acknowledgement"),
    (
        Bug::ReadsOnce,
        "in-one-piece",
        "an acknowledgement of the push \"p-0\"",
    ),
    (Bug::ReadsOnce, "large-message", "an acknowledgement"),
    (Bug::NoMask, "push", "a frame without a mask"),
    (Bug::KeyOfBody, "keys", "ten keys"),
    (
        Bug::AnswersInOrder,
        "answers-by-key",
        "accepted work-1 answer-to-work-1",
    ),
    (
        Bug::AnswersInOrder,
        "stray-answers",
        "accepted work-1 first",
    ),
    (Bug::NeverRetries, "lost-ack", "the message once more"),
    (Bug::NewKeys, "lost-ack", "another key"),
    (
        Bug::Impatient,
        "patience",
        "no copy before half of the patience",
    ),
    (
        Bug::Hasty,
        "nack-retryable",
        "the message again after 700 ms",
    ),
    (Bug::Hasty, "nack-hot-loop", "copies within a second"),
    (Bug::NeverGivesUp, "nack-final", "refused work-1"),
    (Bug::Hasty, "rate-limited", "the message again after 700 ms"),
    (
        Bug::Hasty,
        "rate-limited-nack",
        "the message again after 700 ms",
    ),
    (Bug::NewestFirst, "resend", "the oldest first"),
    (Bug::NeverRetries, "resend", "the three messages again"),
    (Bug::Unbounded, "bounded", "at most 256"),
    (Bug::NoAck, "push", "an acknowledgement of the push \"p-1\""),
    (Bug::NoMemory, "push-twice", "handed over 2 times"),
    (
        Bug::ForgetsOnReconnect,
        "push-again-later",
        "handed over 2 times",
    ),
    (
        Bug::SkipsOlder,
        "push-order",
        "to send \"body-of-p-1\" back",
    ),
    (
        Bug::KnowsPushesByBody,
        "push-same-body",
        "two pushes handed over",
    ),
    (
        Bug::TrimsKeys,
        "push-any-key",
        "an acknowledgement with the key",
    ),
    (Bug::NoPong, "ping", "a pong with the ping's payload"),
    (Bug::NoHeartbeat, "heartbeat", "two heartbeats"),
    (Bug::NoHeartbeat, "silence", "a new connection"),
    (Bug::IgnoresRedirects, "redirect", "one to another address"),
    (Bug::Hasty, "redirect", "a connection after 500 ms"),
    (
        Bug::NeverRetries,
        "redirect",
        "without an answer on the new connection",
    ),
    (Bug::IgnoresRedirects, "redirect-leaves", "a new connection"),
    (Bug::FirstAddressOnly, "redirect-next", "a new connection"),
    (Bug::NeedsAddress, "redirect-nowhere", "a new connection"),
    (
        Bug::NoCloseAnswer,
        "close-answered",
        "a close frame in answer",
    ),
    (
        Bug::HangsUp,
        "close-handshake",
        "the end of the connection without one",
    ),
    (Bug::NeverReturns, "cut", "a new connection"),
    (Bug::NeverReturns, "close-again", "a new connection"),
    (Bug::NeverReturns, "close-again-unknown", "a new connection"),
    (Bug::Stubborn, "close-normal", "it connects again"),
    (Bug::Stubborn, "close-too-big", "it connects again"),
    (Bug::Stubborn, "close-replaced", "it connects again"),
    (Bug::Stubborn, "close-garbage", "it connects again"),
    (Bug::Stubborn, "close-rate-limited", "it connects again"),
    (Bug::Stubborn, "close-already", "it connects again"),
    (Bug::Stubborn, "close-unknown", "it connects again"),
    (
        Bug::Stubborn,
        "token-expired",
        "no connection with the token that was refused",
    ),
    (
        Bug::OldToken,
        "token-renewed",
        "a connection with a fresh token",
    ),
    (Bug::Hasty, "backoff", "waits that grow"),
    (Bug::NoChance, "jitter", "waits that vary by chance"),
];

#[tokio::test]
async fn every_check_finds_its_bug_and_says_so() {
    let found: BTreeSet<_> = FINDS.iter().map(|(_, id, _)| *id).collect();
    let listed: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(found, listed, "a bug for every check");
    let kit = kit().await;
    let runs = FINDS.iter().flat_map(|find| FORMS.map(|form| (find, form)));
    let judged = async |bug, id, form| {
        let toy = |offer| Toy::new(offer, bug).drive();
        let outcome = kit.judge(find(id).unwrap(), form, toy).await;
        complaints(&[outcome]).concat()
    };
    let runs = runs.map(async |((bug, id, says), form)| {
        let mut text = judged(*bug, id, form).await;
        if *id == "jitter" && text.is_empty() {
            // A busy machine is chance too.
            text = judged(*bug, id, form).await;
        }
        let good = text.contains(says) && text.contains("on the wire:\n");
        (!good).then(|| format!("{bug:?}, {id}, {form:?}: {text}"))
    });
    let wrong: Vec<_> = stream::iter(runs)
        .buffered(JOBS)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_driver_that_ends_before_it_connects_is_told_with_its_last_words() {
    let kit = kit().await;
    let command = Command("echo no such module >&2; exit 3".into());
    let outcome = kit
        .judge(&CHECKS[0], Form::Json, |offer| command.drive(offer))
        .await;
    let Verdict::Failed(text) = outcome.verdict else {
        panic!("{outcome:?}")
    };
    assert!(
        text.contains("exit status: 3") && text.contains("no such module"),
        "{text}"
    );
}

/// The kit where a driver is started by hand, and the URL for a check.
async fn by_hand(check: &str) -> (Kit, tokio::sync::mpsc::Receiver<Finished>, Offer) {
    let options = Options {
        port: 0,
        by_hand: true,
        start: Duration::from_secs(10),
    };
    let (kit, finished) = Kit::start(options).await.unwrap();
    let address = kit.address();
    let offer = Offer {
        url: format!("ws://{address}/ws?check={check}&biz_id=kit&user_id=ann"),
        check: check.into(),
        form: Form::Json,
        token: "mine".into(),
        token_url: format!("http://{address}/token?check={check}"),
    };
    (kit, finished, offer)
}

#[tokio::test]
async fn a_check_begins_with_a_connection_and_ends_with_a_verdict() {
    let (_kit, mut finished, offer) = by_hand("redirect").await;
    let client = tokio::spawn(drive(offer));
    let Finished { form, outcome } = finished.recv().await.unwrap();
    assert_eq!((form, &*outcome.name), (Form::Json, "redirect"));
    assert_eq!(outcome.verdict, Verdict::Passed);
    // What it still does begins no other check.
    assert_eq!(client.await.unwrap(), "turned away");
}

#[tokio::test]
async fn a_check_that_is_not_known_is_refused_and_says_where_the_names_are() {
    let (_kit, _finished, offer) = by_hand("no-such").await;
    let target = Target {
        url: offer.url,
        ..Target::default()
    };
    let refused = Socket::connect(&target, Limits::default()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("404") && refused.contains("GET /checks"),
        "{refused}"
    );
}

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");
const PAGE: &str = include_str!("../../../docs/client-conformance.md");

#[test]
fn every_check_stands_on_a_section_of_the_protocol_and_in_the_table_of_its_page() {
    for check in CHECKS {
        let heading = format!("# {}\n", check.section);
        assert!(
            PROTOCOL.contains(&heading),
            "{}: no section {}",
            check.id,
            check.section
        );
    }
    let row = |check: &Check| {
        let anchor = check.section.to_lowercase().replace(' ', "-");
        format!(
            "| `{}` | {} | [{}](protocol.md#{anchor}) | {} |",
            check.id,
            check.level.word(),
            check.section,
            check.demand
        )
    };
    let rows: Vec<_> = CHECKS.iter().map(row).collect();
    let page: Vec<_> = PAGE
        .lines()
        .filter(|line| line.contains("](protocol.md#") && line.starts_with("| `"))
        .collect();
    assert_eq!(page, rows, "the table has to be:\n{}", rows.join("\n"));
    assert!(PAGE.contains(&format!("`checklist: {CHECKLIST}`")));
    for (name, millis) in settings() {
        assert!(
            PAGE.contains(&format!("| `{name}` | {millis} |")),
            "{name}: {millis}"
        );
    }
}
