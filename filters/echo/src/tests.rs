//! What an echo answers, with a codec and a receipt before it, and without.

use std::time::Duration;

use linkgate_filter::testkit::Testkit;
use linkgate_filter::{
    Command, Context, Filter, FilterType, JsonSchema, Message, Never, Open, Outcome, Prepare,
    Properties, Registry, Settle, Verdict, problem::Problems,
};
use serde::Deserialize;

use super::Echo;

/// Answers the client with what the terminal said, as `ack_retry` does.
struct Acks;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

impl FilterType for Acks {
    const NAME: &'static str = "acks";
    type Config = Nothing;
    type Filter = Self;

    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Acks {
    type Token = Message;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let copy = m.copy();
        cx.track(&mut m, copy);
        Verdict::Next(m)
    }

    fn settled(&mut self, sent: Message, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        let Outcome::Accepted(answer) = &outcome else {
            panic!("echo accepts everything: {outcome:?}");
        };
        let ack = Message::new(
            sent.link,
            Command::UpstreamAck,
            sent.key,
            answer.body.clone(),
        );
        cx.downstream(ack);
        Settle::Next(outcome)
    }
}

fn kit(entries: &str) -> Testkit {
    let registry = Registry::new().with::<Acks>().with::<Echo>();
    Testkit::new(registry, entries)
}

#[tokio::test(start_paused = true)]
async fn a_tracked_message_is_accepted_with_its_own_body() {
    let kit = kit("[{ use: acks }, { use: echo }]");
    let mut link = kit.link("alice");
    link.business("k", "hello");
    let [ack] = link.received().try_into().unwrap();
    assert_eq!(ack.command, Some(Command::UpstreamAck));
    assert_eq!((ack.key.as_str(), &*ack.body), ("k", &b"hello"[..]));
    assert_eq!(kit.own().meter().events(), [("accepted", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_nobody_tracks_comes_back_as_a_message() {
    let kit = kit("[{ use: echo }]");
    let mut link = kit.link("alice");
    for key in ["a", "b"] {
        link.business(key, format!("body of {key}"));
    }
    let received = link.received();
    let seen: Vec<_> = received
        .iter()
        .map(|m| (m.command, m.key.as_str(), &*m.body))
        .collect();
    let push = Some(Command::DownstreamMessage);
    assert_eq!(
        seen,
        [
            (push, "a", &b"body of a"[..]),
            (push, "b", &b"body of b"[..])
        ]
    );
    assert_eq!(kit.own().meter().events(), [("accepted", 2)]);
    assert_eq!(kit.own().meter().faults(), []);
}

#[tokio::test(start_paused = true)]
async fn a_frame_comes_back_as_it_was() {
    let kit = kit("[{ use: echo }]");
    let mut link = kit.link("alice");
    link.frame("text", true);
    link.frame(&b"\x00\xff"[..], false);
    let received = link.received();
    let seen: Vec<_> = received.iter().map(|m| (&*m.body, m.text)).collect();
    assert_eq!(seen, [(&b"text"[..], true), (&b"\x00\xff"[..], false)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_the_client_goes() {
    let kit = kit("[{ use: acks }, { use: echo }]");
    let mut link = kit.link("alice");
    link.business("k", "hello");
    link.disconnect();
    link.advance(Duration::from_secs(1)).await;
    assert!(link.is_finished());
}
