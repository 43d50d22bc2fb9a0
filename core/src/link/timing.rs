//! The deadlines of a link's connection, behind one sleep.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::settings::{Grace, LinkSettings};

/// What has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The client has been silent: ask whether it is there.
    Ping,
    /// It has not been there for too long.
    Idle,
    /// It does not finish a message.
    Unfinished,
    /// It takes nothing.
    Stalled,
    /// What it has sent has been given time enough to be answered.
    Answers,
    /// What has been refused for that has been given time enough to be told.
    Refusals,
    /// Its token has expired.
    TokenExpired,
    /// It does not answer the close frame.
    Unanswered,
}

/// The deadlines of a connection. Signs of life only move them away, so the sleep is set anew when it ends, not at
/// every frame.
pub(super) struct Timing {
    ping: Duration,
    idle: Duration,
    message: Duration,
    write_stall: Duration,
    close: Duration,
    heard: Instant,
    pinged: bool,
    unfinished: Option<Instant>,
    stalled: Option<Instant>,
    answers_until: Option<Instant>,
    refusals_until: Option<Instant>,
    closing: Option<Instant>,
    token_expires_at: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Timing {
    pub(super) fn new(settings: &LinkSettings, token_expires_at: Option<Instant>) -> Self {
        let now = Instant::now();
        let LinkSettings {
            ping,
            idle,
            message,
            write_stall,
            close,
            ..
        } = *settings;
        let first = token_expires_at.map_or(now + ping, |at| at.min(now + ping));
        let sleep = Box::pin(tokio::time::sleep_until(first));
        Self {
            ping,
            idle,
            message,
            write_stall,
            close,
            heard: now,
            pinged: false,
            unfinished: None,
            stalled: None,
            answers_until: None,
            refusals_until: None,
            closing: None,
            token_expires_at,
            sleep,
        }
    }

    /// A sign of life.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// Whether the client has begun something and not finished it.
    pub(super) fn unfinished(&mut self, is_unfinished: bool, now: Instant) {
        if !is_unfinished {
            self.unfinished = None;
        } else if self.unfinished.is_none() {
            self.unfinished = Some(now);
            self.sooner(now + self.message);
        }
    }

    /// What has been written waits for the client to take it.
    pub(super) fn stalls(&mut self, now: Instant) {
        if self.stalled.is_none() {
            self.stalled = Some(now);
            self.sooner(now + self.write_stall);
        }
    }

    /// The client takes what is written.
    pub(super) fn flows(&mut self) {
        self.stalled = None;
    }

    /// The link ends, and this is how long the client is served.
    pub(super) fn ends(&mut self, grace: Grace) {
        self.answers_until = Some(grace.answers);
        self.refusals_until = Some(grace.refusals);
        self.sooner(grace.answers);
    }

    /// The link does not work any more; what it has is given as long to be answered as a close frame is.
    pub(super) fn breaks(&mut self, now: Instant) {
        self.ends(Grace {
            answers: now + self.close,
            refusals: now + self.close * 2,
        });
    }

    /// The close frame is on its way.
    pub(super) fn closes(&mut self, now: Instant) {
        self.closing = Some(now);
        self.sooner(now + self.close);
    }

    /// The task has something else to do at `at`.
    pub(super) fn wakes_at(&mut self, at: Instant) {
        self.sooner(at);
    }

    fn sooner(&mut self, at: Instant) {
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
    }

    /// What has come due; otherwise the task is woken at the next deadline.
    pub(super) fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Due> {
        while self.sleep.as_mut().poll(cx) == Poll::Ready(()) {
            let (at, due) = self.next();
            if at <= now {
                match due {
                    Due::Ping => self.pinged = true,
                    Due::TokenExpired => self.token_expires_at = None,
                    Due::Unfinished => self.unfinished = None,
                    Due::Answers => self.answers_until = None,
                    Due::Refusals => self.refusals_until = None,
                    Due::Idle | Due::Stalled | Due::Unanswered => {}
                }
                let (at, _) = self.next();
                self.sleep
                    .as_mut()
                    .reset(at.max(now + Duration::from_millis(1)));
                return Some(due);
            }
            self.sleep.as_mut().reset(at);
        }
        None
    }

    fn next(&self) -> (Instant, Due) {
        if let Some(since) = self.closing {
            return (since + self.close, Due::Unanswered);
        }
        let silence = match self.pinged {
            false => (self.heard + self.ping, Due::Ping),
            true => (self.heard + self.idle, Due::Idle),
        };
        let stall = self
            .stalled
            .map(|since| (since + self.write_stall, Due::Stalled));
        let message = self
            .unfinished
            .map(|since| (since + self.message, Due::Unfinished));
        let token = self.token_expires_at.map(|at| (at, Due::TokenExpired));
        let answers = self.answers_until.map(|at| (at, Due::Answers));
        let refusals = self.refusals_until.map(|at| (at, Due::Refusals));
        [message, stall, token, answers, refusals]
            .into_iter()
            .flatten()
            .fold(
                silence,
                |first, next| if next.0 < first.0 { next } else { first },
            )
    }
}
