//! The task of a session.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::pin;
use std::time::Duration;

use linkgate_proto::v1::{Command, Fault, Message, Redirect};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, sleep_until};

use super::unanswered::{Entry, Unanswered};
use super::{Event, Options};
use crate::connect::{Ended, Socket, Target};

const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A connection that lived so long was a good one: the next wait is the first again.
const GOOD: Duration = Duration::from_secs(60);
/// Keys of pushes that are remembered, to tell one sent again from a new one.
const REMEMBERED_PUSHES: usize = 1000;
/// Addresses taken from a REDIRECT.
const MAX_URLS: usize = 16;

pub(super) struct Run {
    target: Target,
    options: Options,
    inbox: mpsc::Receiver<Entry>,
    events: mpsc::Sender<Event>,
    unanswered: Unanswered,
    pushes: VecDeque<String>,
    home: String,
    /// Where to connect, the first one first; `home` is always the last.
    urls: VecDeque<String>,
    /// Leave for `urls` at this time: a REDIRECT came.
    leave_at: Option<Instant>,
}

/// Why a connection was left.
enum Left {
    /// The session's owner closed it.
    Closed,
    Redirected,
    Ended(Ended),
}

impl Run {
    pub(super) fn new(
        target: Target,
        options: Options,
        inbox: mpsc::Receiver<Entry>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            home: target.url.clone(),
            urls: VecDeque::from([target.url.clone()]),
            target,
            options,
            inbox,
            events,
            unanswered: Unanswered::default(),
            pushes: VecDeque::new(),
            leave_at: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        // A fresh token that is refused at once is not followed by another.
        let mut fresh = false;
        loop {
            self.target.url.clone_from(&self.urls[0]);
            let (target, limits) = (self.target.clone(), self.options.limits);
            let connecting = async move { Socket::connect(&target, limits).await };
            let Some(connected) = self.meanwhile(connecting).await else {
                return;
            };
            let (why, again, at_least, wants_token) = match connected {
                Ok(socket) => {
                    let since = Instant::now();
                    fresh = false;
                    let left = Box::pin(self.serve(socket)).await;
                    failures = if since.elapsed() >= GOOD { 0 } else { failures };
                    match left {
                        Left::Closed => return,
                        Left::Redirected => continue,
                        Left::Ended(ended) => {
                            let again = ended.code.reconnect();
                            (ended.to_string(), again, None, ended.wants_token())
                        }
                    }
                }
                Err(error) => {
                    self.urls.rotate_left(1);
                    let wants_token = error.wants_token() && !fresh;
                    (
                        error.to_string(),
                        error.reconnect(),
                        error.retry_after(),
                        wants_token,
                    )
                }
            };
            fresh = wants_token && self.options.reconnect && self.take_token().await;
            let again = again || fresh;
            let again_in = (again && self.options.reconnect).then(|| self.wait(failures, at_least));
            failures += 1;
            self.emit(Event::Disconnected { why, again_in }).await;
            let Some(wait) = again_in else { return };
            if self.meanwhile(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Whether there is another token to connect with.
    async fn take_token(&mut self) -> bool {
        let Some(tokens) = self.target.tokens.clone() else {
            return false;
        };
        let token = self.meanwhile(tokens()).await.flatten();
        let another = token.is_some() && token != self.target.token;
        self.target.token = token.or(self.target.token.take());
        another
    }

    /// Before the next attempt: the backoff with full jitter, but not before the gateway wants us.
    fn wait(&mut self, failures: u32, at_least: Option<Duration>) -> Duration {
        let most = self
            .options
            .backoff
            .saturating_mul(1 << failures.min(16))
            .min(MAX_BACKOFF);
        let redirect = self
            .leave_at
            .take()
            .map(|at| at.saturating_duration_since(Instant::now()));
        most.mul_f64(fastrand::f64()) + at_least.max(redirect).unwrap_or_default()
    }

    /// Does `work` and takes messages meanwhile; `None` if the session was closed.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                out = &mut work => return Some(out),
                entry = self.inbox.recv(), if self.has_room() => self.unanswered.push(entry?),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.unanswered.len() < self.options.max_unanswered
    }

    async fn emit(&self, event: Event) {
        self.events.send(event).await.ok();
    }

    async fn serve(&mut self, mut socket: Socket) -> Left {
        if let Err(ended) = self.greet(&mut socket).await {
            return Left::Ended(ended);
        }
        let every = self.options.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        let mut heard = Instant::now();
        loop {
            let step = tokio::select! {
                message = socket.next() => match message {
                    Ok(Ok(message)) => {
                        heard = Instant::now();
                        self.received(&mut socket, message).await
                    }
                    Ok(Err(odd)) => {
                        self.emit(Event::Odd(odd.to_string())).await;
                        Ok(())
                    }
                    Err(ended) => Err(ended),
                },
                entry = self.inbox.recv(), if self.has_room() => match entry {
                    Some(mut entry) => {
                        let patience = self.options.answer_timeout;
                        let sent = send(&mut socket, &self.events, patience, &mut entry).await;
                        self.unanswered.push(entry);
                        sent
                    }
                    None => {
                        socket.close().await;
                        return Left::Closed;
                    }
                },
                () = at(self.unanswered.due()) => self.send_due(&mut socket).await,
                () = at(self.leave_at) => {
                    self.leave_at = None;
                    socket.close().await;
                    return Left::Redirected;
                }
                _ = heartbeat.tick() => {
                    if heard.elapsed() > every * 2 {
                        Err(Ended::broken(format_args!("nothing heard for {:.0?}", heard.elapsed())))
                    } else {
                        socket.send(&message(Command::Heartbeat, "")).await
                    }
                }
            };
            if let Err(ended) = step {
                return Left::Ended(ended);
            }
        }
    }

    /// Sends what the last connection left unanswered.
    async fn greet(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        self.leave_at = None;
        let resent = self
            .unanswered
            .waiting()
            .filter(|entry| entry.first.is_some())
            .count();
        let url = self.target.url.clone();
        self.emit(Event::Connected { url, resent }).await;
        let patience = self.options.answer_timeout;
        for entry in self.unanswered.waiting() {
            entry.sent = 0;
            send(socket, &self.events, patience, entry).await?;
        }
        Ok(())
    }

    async fn send_due(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let patience = self.options.answer_timeout;
        for entry in self.unanswered.take_due(Instant::now()) {
            send(socket, &self.events, patience, entry).await?;
        }
        Ok(())
    }

    async fn received(&mut self, socket: &mut Socket, message: Message) -> Result<(), Ended> {
        match message.cmd() {
            // The answer to ours: that it came is all it says.
            Command::Heartbeat => {}
            Command::UpstreamAck => self.acked(message).await,
            Command::UpstreamNack => self.refused(message, false).await,
            Command::RateLimitExceeded => self.refused(message, true).await,
            Command::DownstreamMessage => return self.pushed(socket, message).await,
            Command::Redirect => self.redirected(&message).await,
            Command::UpstreamMessage | Command::DownstreamAck | Command::Unspecified => {
                self.emit(Event::Odd(format!(
                    "a message with the command {}",
                    message.cmd().as_str_name()
                )))
                .await;
            }
        }
        Ok(())
    }

    async fn acked(
        &mut self,
        Message {
            key, body: answer, ..
        }: Message,
    ) {
        match self.unanswered.remove(&key) {
            Some(entry) => {
                let took = entry.first.map(|at| at.elapsed()).unwrap_or_default();
                self.emit(Event::Acked { key, answer, took }).await;
            }
            None => {
                self.emit(Event::Odd(format!(
                    "an UPSTREAM_ACK for {key}, which is not under way"
                )))
                .await;
            }
        }
    }

    async fn refused(&mut self, Message { key, fault, .. }: Message, limited: bool) {
        let fault = fault.unwrap_or_else(|| Fault {
            retryable: limited,
            ..Fault::default()
        });
        let Some(entry) = self.unanswered.get_mut(&key) else {
            let code = &fault.code;
            return self
                .emit(Event::Odd(format!(
                    "a refusal ({code}) of {key}, which is not under way"
                )))
                .await;
        };
        entry.refused += 1;
        let again = fault.retryable && entry.refused <= self.options.retries;
        let again_in = again.then(|| {
            let doubled = self
                .options
                .backoff
                .saturating_mul(1 << entry.refused.min(16))
                .min(MAX_BACKOFF);
            let own = doubled.mul_f64(fastrand::f64());
            let asked = Duration::from_millis(fault.retry_after_ms.into());
            let chance = self.options.backoff.mul_f64(fastrand::f64());
            if asked.is_zero() {
                own
            } else {
                own.max(asked + chance)
            }
        });
        match again_in {
            Some(wait) => {
                entry.due = Some(Instant::now() + wait);
                entry.held = true;
                entry.sent = 0;
            }
            None => drop(self.unanswered.remove(&key)),
        }
        self.emit(Event::Refused {
            key,
            limited,
            fault,
            again_in,
        })
        .await;
    }

    async fn pushed(&mut self, socket: &mut Socket, push: Message) -> Result<(), Ended> {
        let Message { key, body, .. } = push;
        socket.send(&message(Command::DownstreamAck, &key)).await?;
        let again = self.pushes.contains(&key);
        if !again {
            self.pushes.truncate(REMEMBERED_PUSHES - 1);
            self.pushes.push_front(key.clone());
        }
        self.emit(Event::Push { key, body, again }).await;
        Ok(())
    }

    async fn redirected(&mut self, message: &Message) {
        let redirect: Redirect = match serde_json::from_slice(&message.body) {
            Ok(redirect) => redirect,
            Err(error) => {
                return self
                    .emit(Event::Odd(format!(
                        "a REDIRECT that cannot be read: {error}"
                    )))
                    .await;
            }
        };
        self.urls = redirect
            .urls
            .iter()
            .take(MAX_URLS)
            .cloned()
            .chain([self.home.clone()])
            .collect();
        self.leave_at = Some(Instant::now() + Duration::from_millis(redirect.after_ms.into()));
        self.emit(Event::Redirected(redirect)).await;
    }
}

async fn send(
    socket: &mut Socket,
    events: &mpsc::Sender<Event>,
    patience: Duration,
    entry: &mut Entry,
) -> Result<(), Ended> {
    let again = entry.first.is_some();
    entry.first.get_or_insert_with(Instant::now);
    let message = Message {
        body: entry.body.clone(),
        ..message(Command::UpstreamMessage, &entry.key)
    };
    let wait = patience.saturating_mul(1 << entry.sent.min(16));
    let wait = wait.min(MAX_BACKOFF).mul_f64(0.75 + fastrand::f64() / 2.0);
    entry.due = Some(Instant::now() + wait);
    entry.sent += 1;
    entry.held = false;
    socket.send(&message).await?;
    let key = entry.key.clone();
    events.send(Event::Sent { key, again }).await.ok();
    Ok(())
}

fn message(cmd: Command, key: &str) -> Message {
    Message {
        cmd: cmd.into(),
        key: key.to_owned(),
        ..Message::default()
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
