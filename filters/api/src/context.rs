//! What a filter can see and do while it is called.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use crate::clock::Clock;
use crate::close::CloseCode;
use crate::errand::Bringing;
use crate::filter::{Filter, Verdict, Wait};
use crate::link::LinkInfo;
use crate::message::{Direction, Message};
use crate::receipt::Outcome;
use crate::runner::core::timers::TimerId;
use crate::runner::core::{Core, Emission};
use crate::runner::erased::Kept;

/// While a filter is called.
pub struct Context<'a, F: Filter> {
    pub(crate) core: &'a mut Core,
    pub(crate) slot: usize,
    pub(crate) kept: &'a mut Kept<F>,
}

impl<F: Filter> Context<'_, F> {
    /// Now. The same for all that one event sets off.
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// The node's clock, for futures that have to wait.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.host.clock
    }

    /// A random number; seeded in tests.
    pub fn random(&mut self) -> u64 {
        self.core.rng.u64(..)
    }

    /// The chain's link; in a trunk a stand-in that has the business alone.
    pub fn link(&self) -> &Arc<LinkInfo> {
        &self.core.link
    }

    /// Sends a message on towards the backend from this filter's position.
    pub fn upstream(&mut self, m: Message) {
        self.core.emit(Emission {
            direction: Direction::Upstream,
            slot: self.slot,
            message: m,
        });
    }

    /// Sends a message on towards the client from this filter's position, through the filters in front of it.
    pub fn downstream(&mut self, m: Message) {
        self.core.emit(Emission {
            direction: Direction::Downstream,
            slot: self.slot,
            message: m,
        });
    }

    /// Puts a receipt on the message: [`Filter::settled`](crate::Filter::settled) hears `token` with the outcome, after
    /// the filters that track it later and before those that tracked it earlier.
    pub fn track(&mut self, m: &mut Message, token: F::Token) {
        let token = self.kept.keep_token(token);
        self.core.track(self.slot, m, token);
    }

    /// Whether anybody hears of the message's outcome: a filter that tracks it, or who gave it into the chain. If not,
    /// a client that waits for an answer gets none by settling.
    pub fn is_heard(&mut self, m: &Message) -> bool {
        self.core.is_heard(m)
    }

    /// Ends a message with an outcome. The same as [`Message::settle`], without the way through the mailbox where the
    /// receipt is of this chain.
    pub fn settle(&mut self, m: Message, outcome: Outcome) {
        self.core.settle(m, outcome);
    }

    /// Has the message wait for a future, which has it: [`Filter::resumed`] gets the message again, with what the future
    /// comes to. Meanwhile business messages behind it stand in line.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use linkgate_filter::store::Store;
    /// use linkgate_filter::{Bytes, Context, EdgeError, Fault, Filter, Message, Never, Verdict};
    ///
    /// /// Lets each key pass once a day.
    /// struct Once {
    ///     store: Arc<dyn Store>,
    /// }
    ///
    /// impl Filter for Once {
    ///     type Token = Never;
    ///     type Timer = Never;
    ///     /// What stood in the store.
    ///     type Waited = Result<Option<Bytes>, EdgeError>;
    ///     type Done = Never;
    ///
    ///     fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
    ///         let (key, day) = (format!("once-{}", m.key), Duration::from_secs(86_400));
    ///         let asked = self.store.insert(&m.link.identity, key, "".into(), day);
    ///         cx.wait(async move { (m, asked.await) })
    ///     }
    ///
    ///     fn resumed(&mut self, m: Message, found: Self::Waited, _: &mut Context<'_, Self>) -> Verdict {
    ///         match found {
    ///             Ok(None) => Verdict::Next(m),
    ///             Ok(Some(_)) => Verdict::Refuse(m, Fault::client("once.again")),
    ///             Err(error) => Verdict::Refuse(m, error.fault("once.store")),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn wait<Fut>(&self, future: Fut) -> Verdict
    where
        Fut: Future<Output = (Message, F::Waited)> + Send + 'static,
    {
        Verdict::Wait(Wait(Bringing::boxed(future)))
    }

    /// Runs work that must not hold the slot, such as a call to a backend; [`Filter::done`] hears what it has come to. The
    /// future owns the message it works on and settles it; so the chain's bound on unsettled messages bounds the futures
    /// too.
    pub fn spawn<Fut>(&mut self, future: Fut)
    where
        Fut: Future<Output = F::Done> + Send + 'static,
    {
        let future = future.map(|done| ((), done));
        self.core.spawn(self.slot, Bringing::boxed(future));
    }

    /// Calls [`Filter::wake`] with `timer` at `at`. Timers that are due at once go off in the order in which they were set.
    pub fn wake_at(&mut self, at: Instant, timer: F::Timer) -> TimerId {
        let number = self.kept.keep_timer(timer);
        self.core.timers.set(at, self.slot, number)
    }

    /// Calls [`Filter::wake`] with `timer` after `wait`.
    pub fn wake_after(&mut self, wait: Duration, timer: F::Timer) -> TimerId {
        self.wake_at(self.core.now + wait, timer)
    }

    /// Takes a timer back. Gives what was to come with it; `None` if it has gone off.
    pub fn cancel(&mut self, timer: TimerId) -> Option<F::Timer> {
        let number = self.core.timers.cancel(timer, self.slot)?;
        self.kept.take_timer(number)
    }

    /// Closes the link after what is on its way to the client has been written.
    pub fn close(&mut self, code: CloseCode) {
        self.core.close_link(code);
    }
}
