//! What a filter leaves with the runner.

use slab::Slab;

use crate::dropped::discard;

/// What a filter is to be called with: nothing as long as its link is idle.
pub(crate) struct Kept<Token, Timer>(Option<Box<Typed<Token, Timer>>>);

struct Typed<Token, Timer> {
    tokens: Slab<Token>,
    timers: Slab<Timer>,
}

impl<Token, Timer> Kept<Token, Timer> {
    fn typed(&mut self) -> &mut Typed<Token, Timer> {
        self.0.get_or_insert_with(|| {
            Box::new(Typed {
                tokens: Slab::new(),
                timers: Slab::new(),
            })
        })
    }

    pub(crate) fn keep_token(&mut self, token: Token) -> u32 {
        self.typed().tokens.insert(token) as u32
    }

    pub(crate) fn keep_timer(&mut self, timer: Timer) -> u32 {
        self.typed().timers.insert(timer) as u32
    }

    pub(crate) fn take_token(&mut self, number: u32) -> Option<Token> {
        self.0.as_mut()?.tokens.try_remove(number as usize)
    }

    pub(crate) fn take_timer(&mut self, number: u32) -> Option<Timer> {
        self.0.as_mut()?.timers.try_remove(number as usize)
    }

    /// The chain has this timer of the filter no more.
    pub(crate) fn drop_timer(&mut self, number: u32) {
        discard(self.take_timer(number));
    }

    /// The chain has no timer of the filter any more.
    pub(crate) fn drop_timers(&mut self) {
        if let Some(typed) = &mut self.0 {
            discard(std::mem::take(&mut typed.timers));
        }
    }

    /// Gives back the room of a burst.
    pub(crate) fn rest(&mut self) {
        let Some(typed) = &mut self.0 else { return };
        if typed.tokens.is_empty() {
            typed.tokens = Slab::new();
        }
        if typed.timers.is_empty() {
            typed.timers = Slab::new();
        }
        if typed.tokens.is_empty() && typed.timers.is_empty() {
            self.0 = None;
        }
    }
}

impl<Token, Timer> Default for Kept<Token, Timer> {
    fn default() -> Self {
        Self(None)
    }
}
