//! The contract between linkgate and a filter.
//!
//! A filter has three lives: a *type* per name ([`FilterType`], the implementing type), one *prepared* value per YAML
//! entry (a value of that type, shared by all links), and one *filter* per link or trunk shard ([`Filter`]).

use std::any::Any;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::client::ClientEnd;
use crate::context::{Context, Open, Prepare};
use crate::fault::Fault;
use crate::growth::Growth;
use crate::link::{Form, Identity};
use crate::message::Message;
use crate::problem::Problems;
use crate::properties::Properties;
use crate::receipt::{Outcome, Token};

/// The prepared value of one YAML entry.
pub trait FilterType: Sized + Send + Sync + 'static {
    /// What YAML calls it after `use:`.
    const NAME: &'static str;

    /// The entry's `config:`. Use `#[serde(deny_unknown_fields)]`; the doc comments of its fields are the user docs.
    type Config: DeserializeOwned + JsonSchema;

    /// What runs on a link or a trunk shard.
    type Filter: Filter + 'static;

    /// Checks the config and makes the prepared value. Pure: it opens nothing and starts nothing, because
    /// `linkgate validate` calls it too. Reports all problems at once.
    fn prepare(config: Self::Config, cx: &Prepare<'_>) -> Result<Self, Problems>;

    /// Where the filter may stand.
    fn properties(&self) -> Properties;

    /// Opens the filter for one link or trunk shard.
    fn filter(&self, cx: &Open<'_>) -> Self::Filter;

    /// How much larger it makes messages on their way to a client of this form, at most; of whole frames, if `framed`. What
    /// changes no bodies has nothing to say.
    fn growth(&self, form: Form, framed: bool) -> Growth {
        let _ = (form, framed);
        Growth::NONE
    }

    /// The client's end of it, for the link of this identity, if it changes what clients send and get.
    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>> {
        let _ = identity;
        None
    }

    /// Why whoever plans to put `next` in its place, under the same id, or nothing, should think twice: one sentence
    /// about what clients or backends would notice. `linkgate plan` says so.
    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let _ = next;
        None
    }
}

/// A filter at work: of one link, or of one trunk shard. All calls come from one task, one at a time.
pub trait Filter: Send {
    /// The chain has opened: the place to take up what an earlier chain left in owned state.
    fn opened(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// A message on its way to the backend.
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        let _ = cx;
        Verdict::Next(m)
    }

    /// A message on its way to the client.
    fn downstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        let _ = cx;
        Verdict::Next(m)
    }

    /// The future of a [`Verdict::Wait`] has ended.
    fn resumed(&mut self, m: Message, value: Box<dyn Any + Send>, cx: &mut Context<'_>) -> Verdict {
        let _ = (value, cx);
        Verdict::Next(m)
    }

    /// A message this filter tracks has an outcome. Say what the receipts below it are to hear.
    fn settled(&mut self, token: Token, outcome: Outcome, cx: &mut Context<'_>) -> Settle {
        let _ = (token, cx);
        Settle::Next(outcome)
    }

    /// A timer has run out, or a spawned future has ended.
    fn wake(&mut self, token: Token, cx: &mut Context<'_>) {
        let _ = (token, cx);
    }

    /// The chain gets no new messages: the link's socket is gone, a successor has taken over, or the trunk retires. Send
    /// what you gather, let go of what you keep. Messages that stand in line before other slots may still come: gather
    /// those no more. Timers have been cancelled; what is armed from here on keeps the chain alive until it has run out.
    fn close(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}

/// What a filter says of a message.
pub enum Verdict {
    /// Pass it on.
    Next(Message),
    /// The filter has it: it was settled, kept, or sent elsewhere.
    Done,
    /// Not this one. Its receipts settle as failed; one without receipts is answered with a NACK by the runner.
    Refuse(Message, Fault),
    /// Hold the slot until the future ends; business messages behind stand in order, others overtake.
    Wait(BoxFuture<'static, (Message, Box<dyn Any + Send>)>),
}

impl Verdict {
    /// [`Verdict::Wait`] for a future with a value of any type.
    pub fn wait<F, T>(future: F) -> Self
    where
        F: Future<Output = (Message, T)> + Send + 'static,
        T: Any + Send,
    {
        Self::Wait(Box::pin(async move {
            let (m, value) = future.await;
            (m, Box::new(value) as Box<dyn Any + Send>)
        }))
    }
}

/// What a filter says of an outcome.
pub enum Settle {
    /// The receipts below hear this.
    Next(Outcome),
    /// The receipts below hear what the future says, once it says it.
    Wait(BoxFuture<'static, Outcome>),
}
