//! A small client of the protocol that is right, but for one bug.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::time::Duration;

use linkgate_filter::{CloseCode, Form};
use linkgate_proto::v1::{Command, Message, Redirect};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::bug::Bug;
use super::wire::{Heard, Opened, Wire};
use crate::client::Offer;
use crate::client::link::message;
use crate::client::settings::{ANSWER_TIMEOUT, BACKOFF, HEARTBEAT};

struct Entry {
    key: String,
    body: Vec<u8>,
    due: Instant,
    sent: u32,
    refused: u32,
    held: bool,
}

pub(super) struct Toy {
    bug: Bug,
    offer: Offer,
    home: String,
    urls: VecDeque<String>,
    leave_at: Option<Instant>,
    under_way: VecDeque<Entry>,
    to_send: VecDeque<Vec<u8>>,
    seen: HashSet<String>,
    newest: String,
    count: u32,
    losses: u32,
}

/// Whether the toy goes on.
enum Left {
    Lost,
    Closed(u16),
    Done,
}

impl Toy {
    pub(super) fn new(offer: Offer, bug: Bug) -> Self {
        Self {
            bug,
            home: offer.url.clone(),
            urls: [offer.url.clone()].into(),
            offer,
            leave_at: None,
            under_way: VecDeque::new(),
            to_send: VecDeque::new(),
            seen: HashSet::new(),
            newest: String::new(),
            count: 0,
            losses: 0,
        }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    pub(super) async fn drive(mut self) -> String {
        loop {
            let opened =
                Wire::open(&self.urls[0], self.offer.form, &self.offer.token, self.bug).await;
            let mut least = Duration::ZERO;
            let (back, token) = match opened {
                Ok(Opened::Refused {
                    status,
                    retry_after,
                }) => {
                    least = Duration::from_secs(retry_after);
                    (status == 503, status == 401)
                }
                Ok(Opened::Wire(wire)) => match self.serve(wire).await {
                    Ok(Left::Done) => return "done".into(),
                    Ok(Left::Closed(code)) => (
                        CloseCode::new(code).reconnect(),
                        code == CloseCode::TOKEN_EXPIRED.code(),
                    ),
                    Ok(Left::Lost) | Err(_) => (true, false),
                },
                Err(_) => {
                    if !self.is(Bug::FirstAddressOnly) {
                        self.urls.rotate_left(1);
                    }
                    (true, false)
                }
            };
            if token && !self.is(Bug::OldToken) && !self.is(Bug::Stubborn) {
                self.offer.token = fresh(&self.offer.token_url).await.unwrap();
            } else if !(back || self.is(Bug::Stubborn)) || self.is(Bug::NeverReturns) {
                return "turned away".into();
            }
            self.pause(least).await;
        }
    }

    async fn pause(&mut self, least: Duration) {
        let limit = BACKOFF * (1 << self.losses.min(10));
        let chance = if self.is(Bug::NoChance) {
            1.0
        } else {
            fastrand::f64()
        };
        self.losses += 1;
        let leave = self.leave_at.take();
        if self.is(Bug::Hasty) {
            return;
        }
        let least = least.max(leave.map_or(Duration::ZERO, |at| at - Instant::now()));
        sleep(least + limit.mul_f64(chance)).await;
    }

    async fn serve(&mut self, mut wire: Wire) -> io::Result<Left> {
        if self.is(Bug::ForgetsOnReconnect) {
            self.seen.clear();
        }
        if self.is(Bug::NewestFirst) {
            self.under_way.make_contiguous().reverse();
        }
        for entry in &mut self.under_way {
            if !entry.held && self.bug != Bug::NeverRetries {
                entry.due = Instant::now();
            }
        }
        let mut heartbeat = Instant::now() + HEARTBEAT;
        let mut heard = Instant::now();
        loop {
            self.send(&mut wire).await?;
            let due = self.under_way.iter().map(|entry| entry.due).min();
            let due = due.unwrap_or(heartbeat).min(heartbeat);
            let due = self.leave_at.map_or(due, |at| due.min(at));
            tokio::select! {
                frame = wire.next() => match frame? {
                    Heard::Closed(code) => return Ok(Left::Closed(code)),
                    Heard::Nothing => {}
                    Heard::Message(payload) => {
                        heard = Instant::now();
                        if self.heard(&mut wire, payload).await? {
                            wire.close().await;
                            return Ok(Left::Done);
                        }
                    }
                },
                () = sleep_until(due) => {}
            }
            if self.leave_at.is_some_and(|at| at <= Instant::now()) {
                self.leave_at = None;
                wire.close().await;
                return Ok(Left::Lost);
            }
            if heartbeat <= Instant::now() {
                heartbeat = Instant::now() + HEARTBEAT;
                if !self.is(Bug::NoHeartbeat) {
                    if heard.elapsed() > HEARTBEAT * 2 {
                        return Ok(Left::Lost);
                    }
                    wire.say(&message(Command::Heartbeat, "")).await?;
                }
            }
        }
    }

    /// Sends what is new and what is due.
    async fn send(&mut self, wire: &mut Wire) -> io::Result<()> {
        while self.under_way.len() < 200 || self.is(Bug::Unbounded) {
            let Some(body) = self.to_send.pop_front() else {
                break;
            };
            let key = self.key(&body);
            let due = Instant::now();
            self.under_way.push_back(Entry {
                key,
                body,
                due,
                sent: 0,
                refused: 0,
                held: false,
            });
        }
        for at in 0..self.under_way.len() {
            if self.under_way[at].due > Instant::now() {
                continue;
            }
            if self.is(Bug::NewKeys) && self.under_way[at].sent > 0 {
                self.under_way[at].key = self.key(b"");
            }
            let wait = match self.bug {
                Bug::NeverRetries => Duration::from_secs(100),
                Bug::Impatient => ANSWER_TIMEOUT / 4,
                _ => ANSWER_TIMEOUT * (1 << self.under_way[at].sent.min(8)),
            };
            let entry = &mut self.under_way[at];
            entry.due = Instant::now() + wait;
            entry.sent += 1;
            entry.held = false;
            let body = entry.body.clone().into();
            wire.say(&Message {
                body,
                ..message(Command::UpstreamMessage, &entry.key)
            })
            .await?;
        }
        Ok(())
    }

    fn key(&mut self, body: &[u8]) -> String {
        if self.is(Bug::KeyOfBody) {
            return String::from_utf8_lossy(body).into_owned();
        }
        self.count += 1;
        format!("m-{}", self.count)
    }

    /// Whether the application is done.
    async fn heard(&mut self, wire: &mut Wire, payload: Vec<u8>) -> io::Result<bool> {
        let Some(message) = self.read(&payload) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match message.cmd() {
            Command::DownstreamMessage => return self.pushed(wire, message).await,
            Command::UpstreamAck => {
                if let Some(entry) = self.answered(&message.key) {
                    self.report("accepted", &entry.body, &message.body);
                }
            }
            Command::UpstreamNack | Command::RateLimitExceeded => self.refused(&message),
            Command::Redirect if !self.is(Bug::IgnoresRedirects) => {
                let redirect: Redirect = serde_json::from_slice(&message.body).unwrap();
                if redirect.urls.is_empty() && self.is(Bug::NeedsAddress) {
                    return Ok(true);
                }
                self.urls = redirect
                    .urls
                    .into_iter()
                    .chain([self.home.clone()])
                    .collect();
                let after = Duration::from_millis(redirect.after_ms.into());
                self.leave_at = Some(
                    Instant::now()
                        + if self.is(Bug::Hasty) {
                            Duration::ZERO
                        } else {
                            after
                        },
                );
            }
            _ => {}
        }
        Ok(false)
    }

    /// `None`: it stops here.
    fn read(&self, payload: &[u8]) -> Option<Message> {
        match self.offer.form {
            Form::Protobuf => {
                let message = Message::decode(payload);
                if !self.is(Bug::Strict) {
                    return Some(message.unwrap_or_default());
                }
                let message = message.ok()?;
                let source = message.fault.as_ref().map_or(0, |fault| fault.source);
                (message.encoded_len() == payload.len() && message.cmd < 9 && source < 4)
                    .then_some(message)
            }
            Form::Json => {
                let strict: Option<Message> = linkgate_proto::from_json(payload).ok();
                if self.is(Bug::Strict) {
                    return strict.filter(|_| !payload.windows(5).any(|word| word == b"later"));
                }
                let text = String::from_utf8_lossy(payload).into_owned();
                let lenient =
                    || linkgate_client::decode(tokio_tungstenite::tungstenite::Message::text(text));
                strict
                    .or_else(|| lenient().ok())
                    .or(Some(Message::default()))
            }
        }
    }

    fn answered(&mut self, key: &str) -> Option<Entry> {
        if self.is(Bug::AnswersInOrder) {
            return self.under_way.pop_front();
        }
        let at = self.under_way.iter().position(|entry| entry.key == key)?;
        self.under_way.remove(at)
    }

    fn refused(&mut self, message: &Message) {
        let fault = message.fault.clone().unwrap_or_default();
        if !(fault.retryable || self.is(Bug::NeverGivesUp)) {
            if let Some(entry) = self.answered(&message.key) {
                self.report("refused", &entry.body, b"");
            }
            return;
        }
        let hasty = self.is(Bug::Hasty);
        if let Some(entry) = self
            .under_way
            .iter_mut()
            .find(|entry| entry.key == message.key)
        {
            let own = BACKOFF * (1 << entry.refused.min(8));
            entry.refused += 1;
            let wait = own.max(Duration::from_millis(fault.retry_after_ms.into()));
            entry.due = Instant::now() + if hasty { Duration::ZERO } else { wait };
            (entry.held, entry.sent) = (true, 0);
        }
    }

    async fn pushed(&mut self, wire: &mut Wire, push: Message) -> io::Result<bool> {
        if !self.is(Bug::NoAck) {
            let trimmed = self.is(Bug::TrimsKeys).then(|| push.key.trim());
            let key = trimmed.unwrap_or(&push.key);
            wire.say(&message(Command::DownstreamAck, key)).await?;
        }
        let body = push.body.to_vec();
        if body == b"close" {
            return Ok(true);
        }
        let by = if self.is(Bug::KnowsPushesByBody) {
            String::from_utf8_lossy(&body).into_owned()
        } else {
            push.key.clone()
        };
        let older = self.is(Bug::SkipsOlder) && push.key < self.newest;
        if (self.seen.insert(by) || self.is(Bug::NoMemory)) && !older {
            self.to_send.push_back(body);
        }
        self.newest = push.key;
        Ok(false)
    }

    fn report(&mut self, what: &str, body: &[u8], answer: &[u8]) {
        if body.starts_with(b"work") {
            let (body, answer) = (
                String::from_utf8_lossy(body),
                String::from_utf8_lossy(answer),
            );
            let report = format!("{what} {body} {answer}");
            self.to_send.push_back(report.trim().as_bytes().to_vec());
        }
    }
}

async fn fresh(url: &str) -> io::Result<String> {
    let (address, path) = url["http://".len()..].split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.rsplit("\r\n").next().unwrap().to_owned())
}
