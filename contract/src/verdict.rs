//! What filters say of messages and outcomes.

use futures_util::future::BoxFuture;

use crate::errand::BoxErrand;
use crate::fault::Fault;
use crate::message::Message;
use crate::receipt::Outcome;

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
