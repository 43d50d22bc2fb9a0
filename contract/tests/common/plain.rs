//! Filters that do next to nothing, to weigh the runner alone. The benches use them too.

#![allow(missing_docs, unreachable_pub)] // each user takes a part of it

use linkgate_filter::{
    Command, Context, Deserialize, Filter, FilterType, JsonSchema, Message, Never, Open, Outcome,
    Prepare, Properties, Registry, Settle, Verdict, problem::Problems,
};

pub fn registry() -> Registry {
    Registry::new()
        .with::<Pass>()
        .with::<Receipts>()
        .with::<Answer>()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Passes everything on.
pub struct Pass;

impl FilterType for Pass {
    const NAME: &'static str = "pass";
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

impl Filter for Pass {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}

/// Puts a receipt on everything.
pub struct Receipts;

impl FilterType for Receipts {
    const NAME: &'static str = "receipts";
    type Config = Nothing;
    type Filter = Counting;

    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new()
    }

    fn filter(&self, _: &Open<'_>) -> Counting {
        Counting::default()
    }
}

#[derive(Default)]
pub struct Counting {
    settled: u64,
}

impl Filter for Counting {
    type Token = u64;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        cx.track(&mut m, self.settled);
        Verdict::Next(m)
    }

    fn settled(&mut self, _: u64, outcome: Outcome, _: &mut Context<'_, Self>) -> Settle {
        self.settled += 1;
        Settle::Next(outcome)
    }
}

/// An end that accepts each message and answers with its key and body.
pub struct Answer;

impl FilterType for Answer {
    const NAME: &'static str = "answer";
    type Config = Nothing;
    type Filter = Self;

    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Answer {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let (link, key, body) = (m.link.clone(), std::mem::take(&mut m.key), m.body.clone());
        cx.settle(m, Outcome::accepted(body.clone()));
        cx.downstream(Message::new(link, Command::UpstreamAck, key, body));
        Verdict::Done
    }
}
