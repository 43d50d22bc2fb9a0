//! Stands where an `ack_retry` would.

use std::collections::HashMap;

use crate::context::{Context, Open, Prepare};
use crate::filter::{Filter, FilterType, Settle, Verdict};
use crate::message::{Command, Message};
use crate::problem::Problems;
use crate::properties::{Fact, Properties};
use crate::receipt::{Outcome, Token};

use super::end::Config;

/// `use: test_answers`: answers the client with each outcome, an UPSTREAM_ACK with the answer or an UPSTREAM_NACK.
pub struct Answers;

/// It at work on a link.
#[derive(Default)]
pub struct Answering {
    keys: HashMap<u64, String>,
    tokens: u64,
}

impl FilterType for Answers {
    const NAME: &'static str = "test_answers";
    type Config = Config;
    type Filter = Answering;

    fn prepare(_: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::ANSWERED)
    }

    fn filter(&self, _: &Open<'_>) -> Answering {
        Answering::default()
    }
}

impl Filter for Answering {
    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_>) -> Verdict {
        if m.command == Some(Command::UpstreamMessage) {
            cx.track(&mut m, Token(self.tokens));
            self.keys.insert(self.tokens, m.key.clone());
            self.tokens += 1;
        }
        Verdict::Next(m)
    }

    fn settled(&mut self, token: Token, outcome: Outcome, cx: &mut Context<'_>) -> Settle {
        if let Some(key) = self.keys.remove(&token.0) {
            let link = cx.link().clone();
            cx.downstream(match &outcome {
                Outcome::Accepted(answer) => {
                    Message::new(link, Command::UpstreamAck, key, answer.body.clone())
                }
                Outcome::Failed(fault) | Outcome::Unknown(fault) => {
                    Message::nack(link, key, fault.clone())
                }
            });
        }
        Settle::Next(outcome)
    }
}
