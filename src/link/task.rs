//! The task of a link: its socket and its chains.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use linkgate_filter::{Chains, CloseCode, Message, Outcome, Receipt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::entered::Entered;
use super::handle::too_big;
use super::intake::Intake;
use super::mailbox::gone;
use super::metrics::Closed;
use super::socket::{Read, Socket};
use super::timing::{Due, Timing};
use crate::telemetry::limit::Every;

/// Frames read in one go before other links get their turn.
const READ_AT_ONCE: usize = 64;

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
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let connected = self.connection.is_some();
        self.chains.tick();
        self.obey(cx);
        self.watch(now, cx);
        let mut budget = READ_AT_ONCE;
        loop {
            let mut progress = self.read(now, &mut budget, cx);
            progress |= self.take_pushes();
            self.chains.poll(cx);
            progress |= self.write(cx);
            if !progress {
                break;
            }
        }
        self.end_broken(now, cx);
        self.say_goodbye(now, cx);
        self.flush(now, cx);
        if budget == 0 || connected != self.connection.is_some() {
            cx.waker().wake_by_ref();
        }
        self.chains.rest();
        if self.chains.is_finished() {
            Poll::Ready(())
        } else {
            Poll::Pending
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
                Due::Unfinished => self.give_up_unfinished(),
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
    fn give_up_unfinished(&mut self) {
        if let Some(connection) = &mut self.connection
            && self.chains.takes_frames()
            && !connection.blocked
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

    /// Reads what is there and runs it through the chain. Whether there was anything.
    fn read(&mut self, now: Instant, budget: &mut usize, cx: &mut Context<'_>) -> bool {
        let before = *budget;
        while *budget > 0 && self.chains.takes_frames() {
            let Some(connection) = &mut self.connection else {
                break;
            };
            if !connection.is_readable(now) {
                break;
            }
            let (read, beside) = connection.socket.poll_read(cx);
            connection.intake.charge_pieces(beside.frames, now);
            if beside.heard {
                connection.timing.heard(now);
            }
            let Poll::Ready(read) = read else {
                let is_unfinished = connection.socket.is_unfinished();
                connection.timing.unfinished(is_unfinished, now);
                break;
            };
            *budget -= 1;
            connection.intake.charge(read.payload(), now);
            if matches!(read, Read::Frame(..)) || !connection.socket.is_within_message() {
                connection.timing.unfinished(false, now);
            }
            match read {
                Read::Frame(_, _)
                    if connection.closing.is_some()
                        || (self.close.is_some() && self.answers == Answers::None) => {}
                Read::Frame(body, text) => {
                    self.entered.metrics.received(body.len());
                    let link = Arc::clone(self.entered.handle.info());
                    self.chains.upstream(Message::raw(link, body, text));
                }
                Read::Alive(_) => {}
                Read::Goodbye => {
                    connection.closing.get_or_insert("peer");
                    connection.parted = true;
                    connection.dirty = true;
                    self.entered.handle.closes();
                }
                Read::Broken(code) => {
                    self.close = self.close.or(Some(code));
                    // If the close frame is out already, the end of the connection is still to come.
                    connection.dirty = true;
                }
                Read::Lost => self.disconnect("lost"),
            }
        }
        before != *budget
    }

    /// Takes pushes out of the mailbox as long as they can go on.
    fn take_pushes(&mut self) -> bool {
        let mut any = false;
        while self
            .connection
            .as_ref()
            .is_some_and(|connection| !connection.blocked && connection.closing.is_none())
            && self.chains.takes_pushes()
            && let Some(message) = self.entered.handle.mailbox.take_push()
        {
            any = true;
            self.chains.downstream(message);
        }
        any
    }

    /// Puts what has come down the chain into the socket's buffer. Whether there was anything.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(connection) = &mut self.connection {
            match connection.socket.poll_ready(cx) {
                Poll::Ready(Ok(())) => any |= std::mem::take(&mut connection.blocked),
                Poll::Ready(Err(_)) => {
                    self.disconnect("lost");
                    break;
                }
                Poll::Pending => {
                    connection.blocked = true;
                    connection.dirty = true;
                    return any;
                }
            }
            let Some(mut message) = self.chains.next_outgoing() else {
                return any;
            };
            any = true;
            if connection.closing.is_some() {
                settle_lost(message.take_receipt());
                continue;
            }
            let max_frame = self.entered.handle.info().max_frame;
            if message.body.len() > max_frame {
                refuse_large(message, max_frame);
                continue;
            }
            connection.unwritten.extend(message.take_receipt());
            self.entered.metrics.sent(message.body.len());
            connection.dirty = true;
            if connection.socket.send(message.body, message.text).is_err() {
                self.disconnect("lost");
            }
        }
        while let Some(mut message) = self.chains.next_outgoing() {
            any = true;
            settle_lost(message.take_receipt());
        }
        any
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

    /// Writes the buffer out; what it held is sent.
    fn flush(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if !connection.dirty {
            return;
        }
        match connection.socket.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                connection.dirty = false;
                connection.timing.flows();
                for receipt in connection.unwritten.drain(..) {
                    receipt.settle(Outcome::sent());
                }
                if connection.parted {
                    self.disconnect("peer");
                } else if std::mem::take(&mut connection.blocked) {
                    cx.waker().wake_by_ref();
                }
            }
            Poll::Ready(Err(_)) => self.disconnect("lost"),
            Poll::Pending => {
                if connection.socket.has_moved() {
                    connection.timing.flows();
                }
                connection.timing.stalls(now);
            }
        }
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

/// Settles what no filter has foreseen to become so large. Sent, it might end the link, and come again on the next.
fn refuse_large(message: Message, max_frame: usize) {
    static LINE: Every = Every::new(Duration::from_secs(1));
    if let Some(held_back) = LINE.pass() {
        let (link, bytes) = (&message.link.identity, message.body.len());
        tracing::warn!(%link, bytes, max_frame, held_back, "a frame is larger than `max_outgoing`: it is not sent");
    }
    message.settle(Outcome::Failed(too_big(max_frame)));
}

/// Settles a push that was on its way into the socket when the connection broke.
fn settle_lost(receipt: Option<Receipt>) {
    if let Some(receipt) = receipt {
        receipt.settle(Outcome::Unknown(gone().effect_unknown()));
    }
}
