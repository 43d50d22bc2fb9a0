//! `use: echo` ends a pipeline and answers each frame or message with itself: for trying out, for suites and for
//! benchmarks.
//!
//! Behind a codec a business message is accepted with its own body as the answer. Where nobody hears of that, because
//! no `ack_retry` stands before it, the body goes back as a message of its own. Without a codec the frame itself goes
//! back.

use std::sync::Arc;

use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Command, Context, Filter, FilterType, JsonSchema, Message, Never, Open, Outcome, Prepare,
    Properties, Verdict,
};
use serde::Deserialize;

/// The config of `use: echo`: there is nothing to set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The filter type.
pub struct Echo;

impl FilterType for Echo {
    const NAME: &'static str = "echo";
    type Config = Config;
    type Filter = EchoFilter;

    fn prepare(_: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> EchoFilter {
        EchoFilter
    }
}

/// The filter of one link or trunk shard. It keeps nothing.
pub struct EchoFilter;

impl Filter for EchoFilter {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command.is_none() {
            cx.downstream(m);
            return Verdict::Done;
        }
        let parts = m.take_parts();
        if parts.is_empty() {
            answer(m, cx);
            return Verdict::Done;
        }
        // Each part of a joined message gets its own body back; the shell has none.
        for part in parts {
            answer(part, cx);
        }
        cx.settle(m, Outcome::accepted(""));
        Verdict::Done
    }
}

fn answer(m: Message, cx: &mut Context<'_, EchoFilter>) {
    if !cx.is_heard(&m) {
        let mut back = Message::new(
            Arc::clone(&m.link),
            Command::DownstreamMessage,
            m.key.clone(),
            m.body.clone(),
        );
        back.ack = false;
        cx.downstream(back);
    }
    let body = m.body.clone();
    cx.settle(m, Outcome::accepted(body));
}

#[cfg(test)]
mod tests;
