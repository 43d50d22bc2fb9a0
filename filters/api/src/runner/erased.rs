//! Filters behind a trait object. What a filter leaves with the runner stays typed, beside the filter; the chain knows it
//! by number.

use std::any::Any;

use slab::Slab;

use crate::context::Context;
use crate::dropped::discard;
use crate::filter::{Filter, Settle, Verdict};
use crate::message::Message;
use crate::receipt::Outcome;
use crate::runner::core::Core;

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

    /// The chain has no timer of the filter any more.
    fn drop_timers(&mut self);

    /// Gives back the room of a burst.
    fn rest(&mut self);
}

/// A filter, and what it has left with the runner.
pub(crate) struct Held<F: Filter> {
    filter: F,
    kept: Kept<F>,
}

/// What a filter is to be called with: nothing as long as its link is idle.
pub(crate) struct Kept<F: Filter>(Option<Box<Typed<F>>>);

struct Typed<F: Filter> {
    tokens: Slab<F::Token>,
    timers: Slab<F::Timer>,
}

impl<F: Filter> Kept<F> {
    fn typed(&mut self) -> &mut Typed<F> {
        self.0.get_or_insert_with(|| {
            Box::new(Typed {
                tokens: Slab::new(),
                timers: Slab::new(),
            })
        })
    }

    pub(crate) fn keep_token(&mut self, token: F::Token) -> u32 {
        self.typed().tokens.insert(token) as u32
    }

    pub(crate) fn keep_timer(&mut self, timer: F::Timer) -> u32 {
        self.typed().timers.insert(timer) as u32
    }

    fn take_token(&mut self, number: u32) -> Option<F::Token> {
        self.0.as_mut()?.tokens.try_remove(number as usize)
    }

    pub(crate) fn take_timer(&mut self, number: u32) -> Option<F::Timer> {
        self.0.as_mut()?.timers.try_remove(number as usize)
    }
}

impl<F: Filter> Held<F> {
    pub(crate) fn new(filter: F) -> Self {
        let kept = Kept(None);
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

    fn drop_timers(&mut self) {
        if let Some(typed) = &mut self.kept.0 {
            discard(std::mem::take(&mut typed.timers));
        }
    }

    fn rest(&mut self) {
        let kept = &mut self.kept.0;
        kept.take_if(|typed| typed.tokens.is_empty() && typed.timers.is_empty());
    }
}

fn take<V: 'static>(brought: &mut dyn Any) -> Option<V> {
    brought.downcast_mut::<Option<V>>()?.take()
}
