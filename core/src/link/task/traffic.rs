//! What goes in and out of a link: frames to its chain, pushes to its chain, and what comes down into the socket.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use linkgate_filter::{Message, Outcome};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Answers, Link, settle_lost};
use crate::link::handle::too_big;
use crate::link::socket::Read;
use crate::telemetry::limit::Every;

impl<S: AsyncRead + AsyncWrite + Unpin, P> Link<S, P> {
    /// Reads what is there and runs it through the chain. Whether there was anything.
    pub(super) fn read(&mut self, now: Instant, budget: &mut usize, cx: &mut Context<'_>) -> bool {
        let before = *budget;
        if self.entered.handle.is_held() {
            return false;
        }
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
    pub(super) fn take_pushes(&mut self) -> bool {
        let mut any = false;
        if self.entered.handle.is_held() {
            return false;
        }
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
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> bool {
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

    /// Writes the buffer out; what it held is sent.
    pub(super) fn flush(&mut self, now: Instant, cx: &mut Context<'_>) {
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
