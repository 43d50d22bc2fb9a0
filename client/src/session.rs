//! Stays connected: heartbeats, acknowledgements, reconnects, and messages sent again under their key until answered.

mod run;
mod unanswered;

use std::time::Duration;

use bytes::Bytes;
use linkgate_proto::v1::{Fault, Redirect};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::run::Run;
use self::unanswered::Entry;
use super::connect::{Limits, Target};

/// How a session behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Between heartbeats. A connection on which nothing has been heard for two of them is given up.
    pub heartbeat: Duration,
    /// How long an answer is waited for before a message is sent again; twice as long each time, up to a minute, give or
    /// take a quarter by chance.
    pub answer_timeout: Duration,
    /// Connect again when the connection ends and the gateway does not forbid it.
    pub reconnect: bool,
    /// The first wait before connecting again; it doubles each time, up to a minute, with full jitter.
    pub backoff: Duration,
    /// How often a message that was refused with "try again" is sent again.
    pub retries: u32,
    /// Messages under way at most; then [`Session::send`] waits.
    pub max_unanswered: usize,
    /// Of each connection.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(10),
            reconnect: true,
            backoff: Duration::from_millis(200),
            retries: 3,
            max_unanswered: 256,
            limits: Limits::default(),
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done; so many unanswered messages are sent again.
    Connected {
        /// Where.
        url: String,
        /// Messages sent again.
        resent: usize,
    },
    /// There is no connection, or no longer.
    Disconnected {
        /// Why.
        why: String,
        /// When the next attempt comes; `None` if this was the last, and then the session is over.
        again_in: Option<Duration>,
    },
    /// A message was sent.
    Sent {
        /// Its key.
        key: String,
        /// Not for the first time.
        again: bool,
    },
    /// UPSTREAM_ACK.
    Acked {
        /// The message's key.
        key: String,
        /// The backend's answer.
        answer: Bytes,
        /// Since the message was sent first.
        took: Duration,
    },
    /// UPSTREAM_NACK or RATE_LIMIT_EXCEEDED.
    Refused {
        /// The message's key.
        key: String,
        /// It was RATE_LIMIT_EXCEEDED.
        limited: bool,
        /// Why.
        fault: Fault,
        /// When it is sent again; `None` if it is given up.
        again_in: Option<Duration>,
    },
    /// DOWNSTREAM_MESSAGE. It is acknowledged already.
    Push {
        /// The push's key.
        key: String,
        /// Its body.
        body: Bytes,
        /// It came before: the gateway has not seen the acknowledgement, or not in time.
        again: bool,
    },
    /// The gateway asks to connect elsewhere; the session does.
    Redirected(Redirect),
    /// A frame that means nothing to a client.
    Odd(String),
}

/// A connection to a gateway that lasts until it is closed, or until the gateway turns the client away.
///
/// Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    commands: mpsc::Sender<Entry>,
    task: JoinHandle<()>,
    prefix: String,
    count: u64,
}

impl Session {
    /// Starts one. Its events have to be read: a session whose events nobody takes stands still.
    pub fn start(target: Target, options: Options) -> (Self, mpsc::Receiver<Event>) {
        let (commands, inbox) = mpsc::channel(16);
        let (events, outbox) = mpsc::channel(64);
        let session = Self {
            commands,
            task: tokio::spawn(Run::new(target, options, inbox, events).run()),
            prefix: std::iter::repeat_with(fastrand::alphanumeric)
                .take(6)
                .collect(),
            count: 0,
        };
        (session, outbox)
    }

    /// Sends `body` under a key of its own, which is returned; `None` once the session is over. Waits while too many
    /// messages are under way.
    pub async fn send(&mut self, body: Bytes) -> Option<String> {
        self.count += 1;
        let key = format!("{}-{}", self.prefix, self.count);
        let entry = Entry::new(key.clone(), body);
        self.commands.send(entry).await.ok().map(|()| key)
    }

    /// Says goodbye to the gateway. What is unanswered stays so.
    pub async fn close(self) {
        let Self { commands, task, .. } = self;
        drop(commands);
        task.await.ok();
    }
}
