//! Filters behind a trait object. What a filter leaves with the runner stays typed, beside the filter; the chain knows it
//! by number.

use std::any::Any;

use crate::filter::{Context, Filter};
use crate::message::Message;
use crate::receipt::Outcome;
use crate::runner::core::Core;
use crate::runner::kept::Kept;
use crate::verdict::{Settle, Verdict};

/// A [`Filter`] in its slot. The slot is the one whose turn it is.
pub(crate) trait ErasedFilter: Send {
    fn opened(&mut self, core: &mut Core);

    fn upstream(&mut self, m: Message, core: &mut Core) -> Verdict;

    fn downstream(&mut self, m: Message, core: &mut Core) -> Verdict;

    /// `brought` is what [`Errand::brought`](crate::errand::Errand::brought) gives.
    fn resumed(&mut self, m: Message, brought: &mut dyn Any, core: &mut Core) -> Verdict;

    fn settled(&mut self, token: u32, outcome: Outcome, core: &mut Core) -> Settle;

    fn wake(&mut self, timer: u32, core: &mut Core);

    /// `brought` is what [`Errand::brought`](crate::errand::Errand::brought) gives.
    fn done(&mut self, brought: &mut dyn Any, core: &mut Core);

    fn close(&mut self, core: &mut Core);

    /// The chain has this timer of the filter no more.
    fn drop_timer(&mut self, timer: u32);

    /// The chain has no timer of the filter any more.
    fn drop_timers(&mut self);

    /// Gives back the room of a burst.
    fn rest(&mut self);
}

/// A filter, and what it has left with the runner.
pub(crate) struct Held<F: Filter> {
    filter: F,
    kept: Kept<F::Token, F::Timer>,
}

impl<F: Filter> Held<F> {
    pub(crate) fn new(filter: F) -> Self {
        let kept = Kept::default();
        Self { filter, kept }
    }

    #[inline]
    fn visit<R>(
        &mut self,
        core: &mut Core,
        call: impl FnOnce(&mut F, &mut Context<'_, F>) -> R,
    ) -> R {
        let slot = core.turn.slot;
        let kept = &mut self.kept;
        call(&mut self.filter, &mut Context { core, slot, kept })
    }
}

impl<F: Filter> ErasedFilter for Held<F> {
    fn opened(&mut self, core: &mut Core) {
        self.visit(core, |filter, cx| filter.opened(cx));
    }

    fn upstream(&mut self, m: Message, core: &mut Core) -> Verdict {
        self.visit(core, |filter, cx| filter.upstream(m, cx))
    }

    fn downstream(&mut self, m: Message, core: &mut Core) -> Verdict {
        self.visit(core, |filter, cx| filter.downstream(m, cx))
    }

    fn resumed(&mut self, m: Message, brought: &mut dyn Any, core: &mut Core) -> Verdict {
        match take::<F::Waited>(brought) {
            Some(waited) => self.visit(core, |filter, cx| filter.resumed(m, waited, cx)),
            None => Verdict::Next(m),
        }
    }

    fn settled(&mut self, token: u32, outcome: Outcome, core: &mut Core) -> Settle {
        match self.kept.take_token(token) {
            Some(token) => self.visit(core, |filter, cx| filter.settled(token, outcome, cx)),
            None => Settle::Next(outcome),
        }
    }

    fn wake(&mut self, timer: u32, core: &mut Core) {
        if let Some(timer) = self.kept.take_timer(timer) {
            self.visit(core, |filter, cx| filter.wake(timer, cx));
        }
    }

    fn done(&mut self, brought: &mut dyn Any, core: &mut Core) {
        if let Some(done) = take::<F::Done>(brought) {
            self.visit(core, |filter, cx| filter.done(done, cx));
        }
    }

    fn close(&mut self, core: &mut Core) {
        self.visit(core, |filter, cx| filter.close(cx));
    }

    fn drop_timer(&mut self, timer: u32) {
        self.kept.drop_timer(timer);
    }

    fn drop_timers(&mut self) {
        self.kept.drop_timers();
    }

    fn rest(&mut self) {
        self.kept.rest();
    }
}

fn take<V: 'static>(brought: &mut dyn Any) -> Option<V> {
    brought.downcast_mut::<Option<V>>()?.take()
}
