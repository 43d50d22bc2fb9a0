//! The contract between linkgate and a filter.
//!
//! A filter has three lives: a *type* per name ([`FilterType`], the implementing type), one *prepared* value per YAML
//! entry (a value of that type, shared by all links), and one *filter* per link or trunk shard ([`Filter`]).

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::client::ClientEnd;
use crate::context::Context;
use crate::coverage::Coverage;
use crate::errand::BoxErrand;
use crate::fault::Fault;
use crate::growth::Growth;
use crate::link::{Form, Identity};
use crate::message::Message;
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::Properties;
use crate::receipt::Outcome;

/// The prepared value of one YAML entry.
pub trait FilterType: Sized + Send + Sync + 'static {
    /// What YAML calls it after `use:`.
    const NAME: &'static str;

    /// The entry's `config:`. Use `#[serde(deny_unknown_fields)]`; the doc comments of its fields are the user docs.
    type Config: DeserializeOwned + JsonSchema;

    /// What runs on a link or a trunk shard.
    type Filter: Filter;

    /// Checks the config and makes the prepared value. Pure: it opens nothing and starts nothing, because
    /// `linkgate validate` calls it too. Reports all problems at once.
    fn prepare(config: Self::Config, cx: &Prepare<'_>) -> Result<Self, Problems>;

    /// Where the filter may stand.
    fn properties(&self) -> Properties;

    /// What test cases are asked to bring about of it.
    fn coverage(&self) -> Coverage {
        Coverage::new()
    }

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
///
/// What a filter has to remember of a message that it waits for, it leaves with the runner, and is called with it: with a
/// receipt a [`Token`](Filter::Token), with a timer a [`Timer`](Filter::Timer); and its futures bring what they come to.
/// A filter that has no use for one of these says [`Never`].
///
/// ```text
///            frame or message                                            outcome
///                   |                                                       |
///  opened -> upstream / downstream -> Next ......... next filter .......... settled (if tracked) -> Next
///                   |                                                       |
///                   |-> Wait(future) -> resumed -> Next, ...                |-> Wait(future)
///                   |-> Done: settled, kept, or sent elsewhere
///                   |-> Refuse(fault): its receipts settle as failed
///
///  cx.wake_at -> wake        cx.spawn -> done        the chain gets no new messages -> close
/// ```
///
/// ```
/// use std::time::Duration;
///
/// use linkgate_filter::{Context, Filter, Message, Never, Outcome, Settle, TimerId, Verdict};
///
/// /// Counts messages that nobody has answered within a second.
/// struct Slow {
///     slow: u64,
/// }
///
/// impl Filter for Slow {
///     /// Goes off when the message it was set for takes too long.
///     type Token = TimerId;
///     type Timer = ();
///     type Waited = Never;
///     type Done = Never;
///
///     fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
///         let timer = cx.wake_after(Duration::from_secs(1), ());
///         cx.track(&mut m, timer);
///         Verdict::Next(m)
///     }
///
///     fn settled(&mut self, timer: TimerId, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
///         cx.cancel(timer);
///         Settle::Next(outcome)
///     }
///
///     fn wake(&mut self, (): (), _: &mut Context<'_, Self>) {
///         self.slow += 1;
///     }
/// }
/// ```
pub trait Filter: Send + Sized + 'static {
    /// What goes with a receipt: [`Context::track`] takes it, [`Filter::settled`] brings it back.
    type Token: Send + 'static;

    /// What goes with a timer: [`Context::wake_at`] takes it, [`Filter::wake`] brings it back.
    type Timer: Send + 'static;

    /// What the future of a [`Context::wait`] comes to, for [`Filter::resumed`].
    type Waited: Send + 'static;

    /// What a future that was spawned comes to, for [`Filter::done`].
    type Done: Send + 'static;

    /// The chain has opened: the place to take up what an earlier chain left in owned state.
    fn opened(&mut self, cx: &mut Context<'_, Self>) {
        let _ = cx;
    }

    /// A message on its way to the backend.
    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let _ = cx;
        Verdict::Next(m)
    }

    /// A message on its way to the client.
    fn downstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let _ = cx;
        Verdict::Next(m)
    }

    /// The future of a [`Verdict::Wait`] has ended.
    fn resumed(&mut self, m: Message, waited: Self::Waited, cx: &mut Context<'_, Self>) -> Verdict {
        let _ = (waited, cx);
        Verdict::Next(m)
    }

    /// A message this filter tracks has an outcome. Say what the receipts below it are to hear.
    fn settled(
        &mut self,
        token: Self::Token,
        outcome: Outcome,
        cx: &mut Context<'_, Self>,
    ) -> Settle {
        let _ = (token, cx);
        Settle::Next(outcome)
    }

    /// A timer has run out.
    fn wake(&mut self, timer: Self::Timer, cx: &mut Context<'_, Self>) {
        let _ = (timer, cx);
    }

    /// A future that the filter has spawned has ended.
    fn done(&mut self, done: Self::Done, cx: &mut Context<'_, Self>) {
        let _ = (done, cx);
    }

    /// The chain gets no new messages: the link's socket is gone, a successor has taken over, or the trunk retires. Send
    /// what you gather, let go of what you keep. Messages that stand in line before other slots may still come: gather
    /// those no more. Timers have been cancelled; what is armed from here on keeps the chain alive until it has run out.
    fn close(&mut self, cx: &mut Context<'_, Self>) {
        let _ = cx;
    }
}

/// For what a filter has no use for: there is no value of it.
pub type Never = std::convert::Infallible;

/// What a filter says of a message.
pub enum Verdict {
    /// Pass it on.
    Next(Message),
    /// The filter has it: it was settled, kept, or sent elsewhere.
    Done,
    /// Not this one. Its receipts settle as failed; one without receipts is answered with a NACK by the runner.
    Refuse(Message, Fault),
    /// Hold the slot until the future ends; business messages behind stand in order, others overtake. Of
    /// [`Context::wait`].
    Wait(Wait),
}

/// A message that waits for a future, which has it.
pub struct Wait(pub(crate) BoxErrand<Message>);

/// What a filter says of an outcome.
pub enum Settle {
    /// The receipts below hear this.
    Next(Outcome),
    /// The receipts below hear what the future says, once it says it.
    Wait(BoxFuture<'static, Outcome>),
}

impl Settle {
    /// [`Settle::Wait`] for any future.
    pub fn wait(future: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::Wait(Box::pin(future))
    }
}
