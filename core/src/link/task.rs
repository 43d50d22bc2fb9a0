//! The task of a link: its socket and its chains.

mod traffic;

use std::task::{Context, Poll};
use std::time::Duration;

use linkgate_filter::runner::Chains;
use linkgate_filter::{CloseCode, Outcome, Receipt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::entered::Entered;
use super::intake::Intake;
use super::mailbox::gone;
use super::metrics::Closed;
use super::socket::Socket;
use super::timing::{Due, Timing};

/// Frames read in one go before other links get their turn.
const READ_AT_ONCE: usize = 64;

/// How long a link keeps room that it does not use.
const REST_AFTER: Duration = Duration::from_secs(1);

/// A link at work.
pub(super) struct Link<S, P> {
    chains: Chains,
    connection: Option<Connection<S, P>>,
    /// Behind the chains, so that the link leaves the table after them.
    entered: Entered,
    /// Why the link is to be closed, once everything for the client is on its way.
    close: Option<CloseCode>,
    answers: Answers,
    /// A later link has taken the session over.
    fenced: bool,
    /// It has had something to do since it was last looked whether it may rest, and when that is looked next.
    has_worked: bool,
    rests_at: Option<Instant>,
}

/// What a link that is to be closed still does for its client before that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Nothing, or it is not to be closed.
    None,
    /// What the client has sent is answered; nothing new is taken of it, but it hears that, and its heartbeats are
    /// answered.
    All,
    /// That has taken too long: what has not been sent on has been refused, and it hears that.
    Refusals,
}

/// What a link has of its client.
struct Connection<S, P> {
    socket: Socket<S>,
    timing: Timing,
    intake: Intake,
    /// Receipts of what is in the socket's buffer.
    unwritten: Vec<Receipt>,
    /// Something is in the socket's buffer.
    dirty: bool,
    /// The client does not take what is in the buffer: nothing more is read from it or pushed to it.
    blocked: bool,
    /// The close frame has been sent, or the client's answered, and this is why.
    closing: Option<&'static str>,
    /// The client has said goodbye: the connection ends as soon as the buffer is written.
    parted: bool,
    /// Counts the connection in the listener's limits.
    _permit: P,
}

impl<S: AsyncRead + AsyncWrite + Unpin, P> Connection<S, P> {
    /// Whether the client may be read now. If it has sent too much, the task is woken when it may.
    fn is_readable(&mut self, now: Instant) -> bool {
        if let Some(at) = self.intake.resumes_at(now) {
            self.timing.wakes_at(at);
            return false;
        }
        !self.blocked && !self.parted && !self.socket.is_mid_frame()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P> Link<S, P> {
    /// A link with an open socket; `permit` is let go with it.
    pub(super) fn new(
        entered: Entered,
        chains: Chains,
        socket: Socket<S>,
        timing: Timing,
        intake: Intake,
        permit: P,
    ) -> Self {
        let connection = Connection {
            socket,
            timing,
            intake,
            unwritten: Vec::new(),
            dirty: false,
            blocked: false,
            closing: None,
            parted: false,
            _permit: permit,
        };
        Self {
            chains,
            connection: Some(connection),
            entered,
            close: None,
            answers: Answers::None,
            fenced: false,
            has_worked: false,
            rests_at: None,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let connected = self.connection.is_some();
        self.chains.tick();
        self.obey(cx);
        self.watch(now, cx);
        let mut budget = READ_AT_ONCE;
        let mut has_worked = false;
        loop {
            let mut progress = self.read(now, &mut budget, cx);
            progress |= self.take_pushes();
            self.chains.poll(cx);
            progress |= self.write(cx);
            if !progress {
                break;
            }
            has_worked = true;
        }
        self.end_broken(now, cx);
        self.say_goodbye(now, cx);
        self.flush(now, cx);
        if budget == 0 || connected != self.connection.is_some() {
            cx.waker().wake_by_ref();
        }
        self.rest(has_worked, now);
        if self.chains.is_finished() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Gives the room of a burst back, once it has not been used for a while.
    fn rest(&mut self, has_worked: bool, now: Instant) {
        let Some(connection) = &mut self.connection else {
            return self.chains.rest();
        };
        self.has_worked |= has_worked;
        if !self.has_worked && self.rests_at.is_none() {
            return;
        }
        let is_time = self.rests_at.is_none_or(|at| at <= now);
        if is_time && self.rests_at.is_some() && !std::mem::take(&mut self.has_worked) {
            self.rests_at = None;
            self.chains.rest();
        } else if is_time {
            self.rests_at = Some(now + REST_AFTER);
            connection.timing.wakes_at(now + REST_AFTER);
        }
    }

    fn obey(&mut self, cx: &mut Context<'_>) {
        let orders = self.entered.handle.mailbox.take_orders(cx.waker());
        if let Some((pipeline, patience)) = orders.change {
            self.chains.change(&pipeline, patience);
            self.entered.metrics.changed.inc();
        }
        if let Some(notice) = orders.notice {
            self.chains.downstream(notice);
        }
        self.close = self.close.or(orders.close);
        if let Some(grace) = orders.grace
            && let Some(connection) = &mut self.connection
        {
            self.answers = Answers::All;
            self.chains.refuse_business();
            connection.timing.ends(grace);
        }
        if orders.fenced {
            self.fenced = true;
            self.chains.fence();
        }
    }

    /// Looks after the deadlines of the connection.
    fn watch(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Some(due) = self
            .connection
            .as_mut()
            .and_then(|connection| connection.timing.poll(now, cx))
        {
            match due {
                Due::Ping => self.ping(cx),
                Due::TokenExpired => self.close = self.close.or(Some(CloseCode::TOKEN_EXPIRED)),
                Due::Answers => {
                    self.answers = Answers::Refusals;
                    self.chains.refuse_waiting();
                }
                Due::Refusals => self.answers = Answers::None,
                Due::Idle => self.give_up_silent(),
                Due::Unfinished => self.give_up_unfinished(now),
                Due::Stalled => self.disconnect(CloseCode::SLOW.name()),
                Due::Unanswered => {
                    let reason = self
                        .connection
                        .as_ref()
                        .and_then(|connection| connection.closing);
                    self.disconnect(reason.unwrap_or("lost"));
                }
            }
        }
    }

    /// The client may still be there to read why, unless it takes nothing either.
    fn give_up_silent(&mut self) {
        if self.connection.as_ref().is_some_and(|c| c.blocked) || self.answers != Answers::None {
            self.disconnect(CloseCode::IDLE.name());
        } else {
            self.close = self.close.or(Some(CloseCode::IDLE));
        }
    }

    /// A client that cannot go on because it is not read has its time again.
    fn give_up_unfinished(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection
            && self.chains.takes_frames()
            && !connection.blocked
            && connection.intake.resumes_at(now).is_none()
        {
            connection.socket.gives_up();
            self.close = self.close.or(Some(CloseCode::MESSAGE_TIMEOUT));
        }
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let Poll::Ready(Ok(())) = connection.socket.poll_ready(cx)
            && connection.closing.is_none()
        {
            connection.dirty = true;
            if connection.socket.ping().is_err() {
                self.disconnect("lost");
            }
        }
    }

    /// A filter has panicked: the link is closed, after what its client has sent is answered.
    fn end_broken(&mut self, now: Instant, cx: &mut Context<'_>) {
        if self.close.is_some() || !self.chains.is_broken() {
            return;
        }
        self.close = Some(CloseCode::INTERNAL);
        self.chains.refuse_business();
        if let Some(connection) = &mut self.connection {
            self.answers = Answers::All;
            connection.timing.breaks(now);
            cx.waker().wake_by_ref();
        }
    }

    /// Sends the close frame when the link is to be closed and everything else is in the buffer.
    fn say_goodbye(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(code) = self.close.or_else(|| self.chains.close_wanted()) else {
            return;
        };
        let waits = match self.answers {
            Answers::None => false,
            Answers::All => self.chains.load().messages > 0,
            Answers::Refusals => self.chains.is_settling(),
        };
        if waits {
            return;
        }
        self.answers = Answers::None;
        let Some(connection) = &mut self.connection else {
            return;
        };
        if connection.closing.is_some()
            || !matches!(connection.socket.poll_ready(cx), Poll::Ready(Ok(())))
        {
            return;
        }
        connection.closing = Some(code.name());
        self.entered.handle.closes();
        connection.dirty = true;
        connection.timing.closes(now);
        // An error here shows again when the buffer is flushed.
        let _ = connection.socket.close(code);
        cx.waker().wake_by_ref();
    }

    /// Lets go of the socket. The chains live on until nothing is unsettled.
    fn disconnect(&mut self, reason: &'static str) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let reason = connection.closing.unwrap_or(reason);
        self.entered
            .metrics
            .closed
            .get_or_create(&Closed { reason })
            .inc();
        self.entered.metrics.open.dec();
        self.entered.metrics.parked.inc();
        self.entered.manager.park(&self.entered.handle);
        connection
            .unwritten
            .into_iter()
            .for_each(|receipt| settle_lost(Some(receipt)));
        for message in self.entered.handle.mailbox.shut() {
            message.settle(Outcome::Failed(gone()));
        }
        self.chains.disconnect();
        if self.fenced {
            self.chains.fence();
        }
    }
}

/// Settles a push that was on its way into the socket when the connection broke.
fn settle_lost(receipt: Option<Receipt>) {
    if let Some(receipt) = receipt {
        receipt.settle(Outcome::Unknown(gone().effect_unknown()));
    }
}
