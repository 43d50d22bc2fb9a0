//! Stands where an `ack_retry` would.

use crate::filter::Context;
use crate::filter::{Filter, Never};
use crate::filter_type::FilterType;
use crate::message::{Command, Message};
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::{Fact, Properties};
use crate::receipt::Outcome;
use crate::verdict::{Settle, Verdict};

use super::end::Config;

/// `use: test_answers`: answers the client with each outcome, an UPSTREAM_ACK with the answer or an UPSTREAM_NACK.
pub struct Answers;

/// It at work on a link.
pub struct Answering;

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
        Answering
    }
}

impl Filter for Answering {
    /// The key of the message.
    type Token = String;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command == Some(Command::UpstreamMessage) {
            let key = m.key.clone();
            cx.track(&mut m, key);
        }
        Verdict::Next(m)
    }

    fn settled(&mut self, key: String, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        let link = cx.link().clone();
        cx.downstream(match &outcome {
            Outcome::Accepted(answer) => {
                Message::new(link, Command::UpstreamAck, key, answer.body.clone())
            }
            Outcome::Failed(fault) | Outcome::Unknown(fault) => {
                Message::nack(link, key, fault.clone())
            }
        });
        Settle::Next(outcome)
    }
}
