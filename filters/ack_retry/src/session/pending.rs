//! The window of a link: which of the pending pushes are on their way, which wait for their turn, and what happens when
//! one falls due.

use std::collections::BTreeSet;
use std::time::Instant;

use linkgate_filter::{Fault, Message, Outcome, Verdict};

use super::book::{Book, Place};
use super::push::{Push, Unjoined};
use super::turn::Turn;
use crate::config::Retry;
use crate::fault;

/// The pending pushes of a session: at least one, from one turn to the next.
#[derive(Debug)]
pub(crate) struct Pending {
    book: Book,
    /// The link that has sent, or is to send, them.
    link: u64,
    /// The socket is gone; what is left at this moment is given up.
    parked_until: Option<Instant>,
    /// Pushes before this place are on their way on this link; those from it on wait for their turn.
    turn_of: Place,
    /// How many are on their way.
    unacked: usize,
    /// Those after which links have ended, by how many: they go one by one, when the link has held for a while.
    suspects: BTreeSet<(u32, Place)>,
    /// The one of them that is on its way.
    probed: Option<Place>,
    /// When the next one may go.
    probe_at: Option<Instant>,
    /// Since when the link has been there.
    since: Instant,
}

impl Pending {
    pub(crate) fn new(turn: &Turn<'_>) -> Self {
        Self {
            book: Book::default(),
            link: turn.link.id,
            parked_until: turn.kept_until,
            turn_of: 0,
            unacked: 0,
            suspects: BTreeSet::new(),
            probed: None,
            probe_at: None,
            since: turn.now,
        }
    }

    /// What the pending push with this key says.
    #[cfg(test)]
    pub(crate) fn body(&self, key: &str) -> Option<linkgate_filter::Bytes> {
        let place = self.book.find(key)?;
        self.book.get(place).map(|push| push.body.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.book.len() == 0
    }

    /// Whether pushes wait for their turn, so that later ones have to stay behind them.
    pub(crate) fn waits(&self) -> bool {
        self.waiting() > 0
    }

    fn waiting(&self) -> usize {
        self.book.len() - self.unacked
    }

    pub(crate) fn push(&mut self, m: Message, turn: &mut Turn<'_>) -> Verdict {
        if m.ack
            && let Some(place) = self.book.find(&m.key)
        {
            return match self.book.change(place, |push| push.join(m)) {
                Some(Err(Unjoined::Many(m))) => refuse_full(m, turn),
                Some(Err(Unjoined::Other(m))) => Verdict::Refuse(m, fault::key_reused()),
                _ => {
                    turn.means.counters.joined.inc();
                    Verdict::Done
                }
            };
        }
        if !self.has_room(&m, turn) {
            return refuse_full(m, turn);
        }
        self.book.insert(Push::new(m));
        self.fill(turn);
        if self.waits() {
            turn.means.counters.waited.inc();
        }
        Verdict::Done
    }

    fn has_room(&self, m: &Message, turn: &Turn<'_>) -> bool {
        let config = turn.means.config;
        let weight = self.book.weight().saturating_add(m.weight());
        let fits = self.is_empty() || weight <= config.max_bytes.as_usize();
        let at_once =
            self.parked_until.is_none() && !self.waits() && self.unacked < config.max_unacked;
        fits && (at_once || self.waiting() < config.max_waiting)
    }

    /// Whether a push with this key was on its way.
    pub(crate) fn acknowledged(&mut self, key: &str, turn: &mut Turn<'_>) -> bool {
        let sent = |place: &Place| {
            let push = self.book.get(*place);
            push.is_some_and(|push| push.transmissions > 0)
        };
        let Some(place) = self.book.find(key).filter(sent) else {
            return false;
        };
        turn.means.counters.acked.inc();
        self.settle(place, Outcome::accepted(""), turn);
        self.fill(turn);
        true
    }

    pub(crate) fn take_up(&mut self, turn: &mut Turn<'_>) {
        if self.link != turn.link.id || self.parked_until.is_some() {
            self.recall(turn);
            self.link = turn.link.id;
            self.parked_until = None;
            self.since = turn.now;
        }
        self.advance(turn);
    }

    pub(crate) fn park(&mut self, turn: &mut Turn<'_>) {
        turn.means.counters.parked.add(self.book.len() as u64);
        self.recall(turn);
        self.parked_until = turn.kept_until;
        self.advance(turn);
    }

    /// Nothing is on its way any more; all wait for their turn on the next link, with the backoff at its start.
    /// Those that were sent a moment ago may have been what ended the link.
    fn recall(&mut self, turn: &mut Turn<'_>) {
        self.turn_of = 0;
        self.unacked = 0;
        self.suspects.clear();
        (self.probed, self.probe_at) = (None, None);
        let Retry {
            initial,
            max_breaks,
            ..
        } = turn.means.config.retry;
        for place in self.book.places() {
            let breaks = self.book.change(place, |push| {
                let sent_at = push.sent_at.take();
                // Sent again on the same link, it has shown that the link stands it.
                let at_once =
                    push.position == 1 && sent_at.is_some_and(|at| turn.now < at + *initial);
                push.breaks += u32::from(at_once);
                push.position = 0;
                push.again_at = None;
                push.breaks
            });
            if max_breaks > 0 && breaks >= Some(max_breaks) {
                turn.means.counters.breaks_links.inc();
                self.give_up(place, fault::breaks_links(), turn);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let nearest = self.book.nearest().map(|(at, _)| at);
        let others = self.parked_until.into_iter().chain(self.probe_at);
        nearest.into_iter().chain(others).min()
    }

    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>) {
        while let Some((at, place)) = self.book.nearest()
            && at <= turn.now
        {
            self.fall_due(place, turn);
        }
        if self.parked_until.is_some_and(|until| until <= turn.now) {
            for place in self.book.places() {
                turn.means.counters.offline.inc();
                self.give_up(place, fault::offline(), turn);
            }
        }
        self.fill(turn);
    }

    fn fall_due(&mut self, place: Place, turn: &mut Turn<'_>) {
        let Some(push) = self.book.get(place) else {
            return;
        };
        if self.probed == Some(place) {
            // The link has stood it.
            self.probed = None;
        }
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= turn.now);
        let retry = &turn.means.config.retry;
        if passed(push.expires_at) {
            turn.means.counters.expired.inc();
            self.give_up(place, fault::expired(), turn);
        } else if passed(push.give_up_at) || push.transmissions >= retry.max_attempts {
            turn.means.counters.unacknowledged.inc();
            self.give_up(place, fault::unacknowledged(), turn);
        } else if turn.means.budget.again(turn.now, &retry.terms()) {
            self.transmit(place, turn);
        } else {
            turn.means.counters.put_off.inc();
            let again_at = turn.now + retry.backoff().wait(0, (turn.random)());
            self.book
                .change(place, |push| push.again_at = Some(again_at));
        }
    }

    /// Sends those whose turn it is, as far as the window goes.
    fn fill(&mut self, turn: &mut Turn<'_>) {
        while self.parked_until.is_none()
            && let Some((place, push)) = self.book.oldest_from(self.turn_of)
        {
            if push.ack && self.unacked >= turn.means.config.max_unacked {
                return;
            }
            let breaks = push.breaks;
            if !push.ack && !fits(push, turn) {
                self.give_up(place, fault::too_big(), turn);
                continue;
            }
            self.turn_of = place + 1;
            if !push.ack {
                if let Some(mut push) = self.book.remove(place) {
                    turn.sent.push(push.message(turn.link));
                }
            } else if turn.means.config.retry.apart(breaks).is_some() {
                self.suspects.insert((breaks, place));
            } else {
                self.unacked += 1;
                self.transmit(place, turn);
            }
        }
        self.probe(turn);
    }

    /// Sends the next of those after which links have ended, when the one before has been settled.
    fn probe(&mut self, turn: &mut Turn<'_>) {
        let retry = &turn.means.config.retry;
        let has_room = self.unacked < turn.means.config.max_unacked;
        self.probe_at = None;
        if self.parked_until.is_some() || self.probed.is_some() || !has_room {
            return;
        }
        let Some((breaks, place)) = self.suspects.first().copied() else {
            return;
        };
        let at = self.since + retry.apart(breaks).unwrap_or_default();
        if at > turn.now {
            self.probe_at = Some(at);
            return;
        }
        self.suspects.remove(&(breaks, place));
        self.probed = Some(place);
        self.unacked += 1;
        self.transmit(place, turn);
    }

    /// Sends a push and sets the time to wait for its acknowledgement.
    fn transmit(&mut self, place: Place, turn: &mut Turn<'_>) {
        // It was taken for another link, or before a change of the pipeline.
        if self.book.get(place).is_some_and(|push| !fits(push, turn)) {
            self.give_up(place, fault::too_big(), turn);
            return;
        }
        let now = turn.now;
        let retry = &turn.means.config.retry;
        let random = (turn.random)();
        let sent = self.book.change(place, |push| {
            let counters = turn.means.counters;
            match (push.transmissions, push.position) {
                (0, _) => {
                    turn.means.budget.first(now, &retry.terms());
                    push.give_up_at = Some(now + *retry.total);
                    counters.transmitted.inc();
                }
                (_, 0) => counters.resumed.inc(),
                _ => counters.retransmitted.inc(),
            }
            push.again_at = Some(now + retry.backoff().wait(push.position, random));
            push.sent_at = Some(now);
            push.transmissions += 1;
            push.position += 1;
            push.message(turn.link)
        });
        turn.sent.extend(sent);
    }

    fn give_up(&mut self, place: Place, fault: Fault, turn: &mut Turn<'_>) {
        let sent = self
            .book
            .get(place)
            .is_some_and(|push| push.transmissions > 0);
        self.settle(place, fault::outcome(fault, sent), turn);
    }

    fn settle(&mut self, place: Place, outcome: Outcome, turn: &mut Turn<'_>) {
        if let Some(push) = self.book.remove(place) {
            let was_waiting = self.suspects.remove(&(push.breaks, place));
            if place < self.turn_of && !was_waiting {
                self.unacked -= 1;
            }
            if self.probed == Some(place) {
                self.probed = None;
            }
            turn.settled.push((push.receipts, outcome));
        }
    }

    pub(crate) fn into_pushes(self) -> impl Iterator<Item = Push> {
        self.book.into_pushes()
    }
}

fn fits(push: &Push, turn: &Turn<'_>) -> bool {
    turn.means.room.fits(&push.key, push.body.len())
}

fn refuse_full(m: Message, turn: &Turn<'_>) -> Verdict {
    turn.means.counters.window_full.inc();
    Verdict::Refuse(m, fault::window_full())
}
