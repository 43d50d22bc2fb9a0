//! The kit judged: a check passes a client that is right, and fails one with the bug that it is there for.

mod toy;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use linkgate_filter::Form;

use super::checklist::find;
use super::*;
use crate::conformance::report::{Outcome, Verdict};
use toy::{Bug, Toy};

/// Checks at the same time: most of them wait most of the time.
const JOBS: usize = 12;
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

#[tokio::test]
async fn linkgates_own_client_passes_every_check() {
    let kit = kit().await;
    let runs = all().map(|(check, form)| kit.judge(check, form, drive));
    let outcomes: Vec<_> = stream::iter(runs).buffered(JOBS).collect().await;
    let complaints = complaints(&outcomes);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn a_toy_without_a_bug_passes_every_check() {
    let kit = kit().await;
    let toy = |offer| Toy::new(offer, Bug::None).drive();
    let runs = all().map(|(check, form)| kit.judge(check, form, toy));
    let outcomes: Vec<_> = stream::iter(runs).buffered(JOBS).collect().await;
    let complaints = complaints(&outcomes);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
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
    (Bug::NoMemory, "push-twice", "handed it 2 times"),
    (
        Bug::ForgetsOnReconnect,
        "push-again-later",
        "handed it 2 times",
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
    let runs = runs.map(|((bug, id, says), form)| {
        let judged = kit.judge(find(id).unwrap(), form, |offer| {
            Toy::new(offer, *bug).drive()
        });
        async move {
            let outcome = judged.await;
            let text = complaints(std::slice::from_ref(&outcome)).concat();
            let good = text.contains(says) && text.contains("on the wire:\n");
            (!good).then(|| format!("{bug:?}, {id}, {form:?}: {text}"))
        }
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
