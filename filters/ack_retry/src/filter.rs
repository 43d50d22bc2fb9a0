//! The filter on a link: hands the events of the chain to the session, and does what comes of them.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{
    Command, Context, Filter, Message, Never, Outcome, Owned, Room, Settle, TimerId, Verdict,
};

use crate::Shared;
use crate::budget::Budget;
use crate::fault;
use crate::session::{Session, Turn};

/// `ack_retry` on one link.
pub struct AckRetryFilter {
    shared: Arc<Shared>,
    session: Owned<Session>,
    budget: Budget,
    /// How large what is sent may be.
    room: Room,
    /// One timer for all deadlines: when it goes off.
    armed: Option<(Instant, TimerId)>,
    /// The socket is gone, and at this moment what is still pending is given up.
    kept_until: Option<Instant>,
}

impl AckRetryFilter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        session: Owned<Session>,
        budget: Budget,
        room: Room,
    ) -> Self {
        Self {
            shared,
            session,
            budget,
            room,
            armed: None,
            kept_until: None,
        }
    }

    /// Works on the session, then sends and settles what came of it, and sets the timer. `None` when a later chain has
    /// taken the session over: `work` was not called.
    fn turn<R>(
        &mut self,
        cx: &mut Context<'_, Self>,
        work: impl FnOnce(&mut Session, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let (now, link) = (cx.now(), Arc::clone(cx.link()));
        let mut random = || cx.random();
        let means = self.shared.means(&self.budget, self.room);
        let mut turn = Turn::new(now, &link, self.kept_until, means, &mut random);
        let (done, deadline) = self.session.with(|session| {
            let done = work(session, &mut turn);
            (done, session.deadline())
        })?;
        let Turn { sent, settled, .. } = turn;
        for m in sent {
            cx.downstream(m);
        }
        // Outside the lock of the session, as those who hear of it may be anywhere.
        for (receipts, outcome) in settled {
            for receipt in receipts {
                receipt.settle(outcome.clone());
            }
        }
        self.arm(deadline, cx);
        Some(done)
    }

    /// The timer may stay when its deadline has gone: most move on before it, and it sets itself anew.
    fn arm(&mut self, deadline: Option<Instant>, cx: &mut Context<'_, Self>) {
        let Some(at) = deadline else { return };
        if let Some((armed, timer)) = self.armed {
            if armed <= at {
                return;
            }
            cx.cancel(timer);
        }
        self.armed = Some((at, cx.wake_at(at, ())));
    }

    fn answer(&self, key: String, outcome: &Outcome, cx: &mut Context<'_, Self>) {
        let link = Arc::clone(cx.link());
        let counters = self.shared.counters();
        let answer = match outcome {
            Outcome::Accepted(answer) => {
                counters.upstream_acks.inc();
                if self.room.fits(&key, answer.body.len()) {
                    Message::new(link, Command::UpstreamAck, key, answer.body.clone())
                } else {
                    counters.answers_too_big.inc();
                    let mut ack = Message::new(link, Command::UpstreamAck, key, "");
                    ack.fault = Some(Box::new(fault::answer_too_big()));
                    ack
                }
            }
            Outcome::Failed(fault) | Outcome::Unknown(fault) => {
                counters.upstream_nacks.inc();
                if let Some(code) = fault.close {
                    cx.close(code);
                }
                let fault = match outcome {
                    Outcome::Unknown(_) => fault.clone().effect_unknown(),
                    _ => fault.clone(),
                };
                Message::nack(link, key, fault)
            }
        };
        cx.downstream(answer);
    }
}

impl Filter for AckRetryFilter {
    /// The key of a business message.
    type Token = String;
    type Timer = ();
    type Waited = Never;
    type Done = Never;

    fn opened(&mut self, cx: &mut Context<'_, Self>) {
        self.turn(cx, Session::take_up);
    }

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        match m.command {
            Some(Command::UpstreamMessage) => {
                let key = m.key.clone();
                cx.track(&mut m, key);
                Verdict::Next(m)
            }
            Some(Command::DownstreamAck) => {
                self.turn(cx, |session, turn| session.acknowledged(&m.key, turn));
                cx.settle(m, Outcome::accepted(""));
                Verdict::Done
            }
            _ => Verdict::Next(m),
        }
    }

    fn downstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::DownstreamMessage) {
            return Verdict::Next(m);
        }
        let mut arrived = Some(m);
        let verdict = self.turn(cx, |session, turn| {
            arrived.take().map(|m| session.push(m, turn))
        });
        match (verdict.flatten(), arrived) {
            (None, Some(m)) => {
                self.shared.counters().replaced.inc();
                Verdict::Refuse(m, fault::replaced())
            }
            (verdict, _) => verdict.unwrap_or(Verdict::Done),
        }
    }

    fn settled(&mut self, key: String, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        self.answer(key, &outcome, cx);
        Settle::Next(outcome)
    }

    fn wake(&mut self, (): (), cx: &mut Context<'_, Self>) {
        self.armed = None;
        self.turn(cx, Session::advance);
    }

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        self.armed = None;
        self.kept_until = Some(cx.now() + *self.shared.config.resume_for);
        self.turn(cx, Session::park);
    }
}

/// The chain has ended, and if no later one has taken the session over, none will: such as when the node stops.
impl Drop for AckRetryFilter {
    fn drop(&mut self) {
        let left = self.session.with(Session::take_all);
        for push in left.into_iter().flatten() {
            self.shared.counters().offline.inc();
            let outcome = fault::outcome(fault::offline(), push.transmissions > 0);
            for receipt in push.receipts {
                receipt.settle(outcome.clone());
            }
        }
    }
}
