//! What a session remembers: the pushes its client has not acknowledged, from link to link.
//!
//! No context, no timer, no socket: every call gets the moment and the means by a [`Turn`] and leaves in it what is to be
//! sent and settled. The filter does the rest.

mod book;
mod pending;
mod push;
mod turn;

use std::time::Instant;

use linkgate_filter::{Message, Verdict};

use self::pending::Pending;
pub(crate) use self::push::Push;
pub(crate) use self::turn::{Means, Turn};
use crate::fault;

/// The pending pushes of a session. Empty, it is a null pointer: most sessions are, most of the time.
#[derive(Debug, Default)]
pub(crate) struct Session(Option<Box<Pending>>);

impl Session {
    /// A push has arrived: keeps it, and sends it as soon as it is its turn.
    pub(crate) fn push(&mut self, m: Message, turn: &mut Turn<'_>) -> Verdict {
        if m.expires_at.is_some_and(|at| at <= turn.now) {
            turn.means.counters.expired.inc();
            return Verdict::Refuse(m, fault::expired());
        }
        if !m.ack && !self.0.as_ref().is_some_and(|pending| pending.waits()) {
            return Verdict::Next(m);
        }
        if m.ack && m.key.is_empty() {
            return Verdict::Refuse(m, fault::no_key());
        }
        let pending = self.0.get_or_insert_with(|| Box::new(Pending::new(turn)));
        pending.push(m, turn)
    }

    /// The client has acknowledged the push with this key.
    pub(crate) fn acknowledged(&mut self, key: &str, turn: &mut Turn<'_>) {
        let known = self.with(|pending| pending.acknowledged(key, turn));
        if known != Some(true) {
            turn.means.counters.unknown_acks.inc();
        }
    }

    /// The turn's link takes over what an earlier link, or an earlier chain of the same link, has left.
    pub(crate) fn take_up(&mut self, turn: &mut Turn<'_>) {
        self.with(|pending| pending.take_up(turn));
    }

    /// The socket is gone: nothing is sent any more, and [`Turn::kept_until`] is the time for the client to come back.
    pub(crate) fn park(&mut self, turn: &mut Turn<'_>) {
        self.with(|pending| pending.park(turn));
    }

    /// Does what is due by now.
    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>) {
        self.with(|pending| pending.advance(turn));
    }

    /// When [`Session::advance`] is needed next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().and_then(|pending| pending.deadline())
    }

    /// Takes out everything, for there is nobody left to send it.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Push> + use<> {
        let pending = self.0.take().into_iter();
        pending.flat_map(|pending| pending.into_pushes())
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Pending) -> R) -> Option<R> {
        let pending = self.0.as_mut()?;
        let done = work(pending);
        if pending.is_empty() {
            self.0 = None;
        }
        Some(done)
    }
}

#[cfg(test)]
mod tests;
