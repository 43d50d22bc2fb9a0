//! A filter at work.
//!
//! A filter has three lives: a *type* per name ([`FilterType`](crate::FilterType), the implementing type), one *prepared* value
//! per entry (a value of that type, shared by all links), and one *filter* per link or trunk shard ([`Filter`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use crate::clock::Clock;
use crate::close::CloseCode;
use crate::errand::Bringing;
use crate::link::LinkInfo;
use crate::message::{Direction, Message};
use crate::receipt::Outcome;
use crate::runner::core::timers::TimerId;
use crate::runner::core::{Core, Emission};
use crate::runner::kept::Kept;
use crate::verdict::{Settle, Verdict, Wait};

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

    /// What goes with a timer: [`Context::wake_at`] takes it, [`Filter::wake`] brings it back. It is dropped where the timer
    /// is not to go off any more: see [`Filter::close`].
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
    /// those no more. Timers that were set before go off no more: take back with [`Context::cancel`] what comes with one
    /// and is still needed, such as a message. What is set from here on keeps the chain alive until it has gone off.
    fn close(&mut self, cx: &mut Context<'_, Self>) {
        let _ = cx;
    }
}

/// For what a filter has no use for: there is no value of it.
pub type Never = std::convert::Infallible;

/// While a filter is called.
pub struct Context<'a, F: Filter> {
    pub(crate) core: &'a mut Core,
    pub(crate) slot: usize,
    pub(crate) kept: &'a mut Kept<F::Token, F::Timer>,
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
