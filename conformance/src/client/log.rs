//! What has passed on the wire in one check: to be judged, and to be shown where the client fails.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linkgate_proto::v1::{Command, Message};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Messages of a client that are kept in one check.
const MESSAGES: usize = 20_000;
/// Lines of the timeline at its beginning and at its end.
const FIRST: usize = 24;
const LAST: usize = 40;

/// Shared by all connections of a check.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Mutex<Heard>>);

/// What the client has done so far.
#[derive(Debug)]
pub(super) struct Heard {
    began: Instant,
    messages: Vec<Said>,
    pub(super) pongs: Vec<Bytes>,
    lines: Vec<String>,
    left_out: usize,
}

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Instant,
    /// The connection's number, from 1.
    pub(super) link: u32,
    pub(super) message: Message,
}

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Heard {
            began: Instant::now(),
            messages: Vec::new(),
            pongs: Vec::new(),
            lines: Vec::new(),
            left_out: 0,
        })))
    }

    pub(super) fn ask<T>(&self, question: impl FnOnce(&Heard) -> T) -> T {
        question(&self.0.lock())
    }

    /// Adds a line to the timeline.
    pub(super) fn note(&self, link: u32, what: impl AsRef<str>) {
        self.0.lock().note(link, what.as_ref());
    }

    pub(super) fn sent(&self, link: u32, message: &Message) {
        self.note(link, format!("-> {}", shown(message)));
    }

    pub(super) fn said(&self, link: u32, message: Message) {
        let mut heard = self.0.lock();
        heard.note(link, &format!("<- {}", shown(&message)));
        if heard.messages.len() < MESSAGES {
            let at = Instant::now();
            heard.messages.push(Said { at, link, message });
        }
    }

    pub(super) fn pong(&self, link: u32, payload: Bytes) {
        let mut heard = self.0.lock();
        heard.note(link, &format!("<- pong {}", brief(&payload)));
        if heard.pongs.len() < MESSAGES {
            heard.pongs.push(payload);
        }
    }

    /// The timeline as text, each line indented.
    pub(super) fn timeline(&self) -> String {
        let heard = self.0.lock();
        let mut out = String::new();
        for (at, line) in heard.lines.iter().enumerate() {
            if at == FIRST && heard.left_out > 0 {
                let _ = writeln!(out, "  ... {} lines left out", heard.left_out);
            }
            let _ = writeln!(out, "  {line}");
        }
        out
    }
}

impl Heard {
    fn note(&mut self, link: u32, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        let line = match link {
            0 => format!("{at:7.3}          {what}"),
            link => format!("{at:7.3}  link {link:<2} {what}"),
        };
        if self.lines.len() == FIRST + LAST {
            self.lines.remove(FIRST);
            self.left_out += 1;
        }
        self.lines.push(line);
    }

    /// Whether nothing has happened yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn all(&self, cmd: Command) -> impl Iterator<Item = &Said> {
        self.messages
            .iter()
            .filter(move |said| said.message.cmd == i32::from(cmd))
    }

    /// Each time that a message with this body was sent.
    pub(super) fn sends(&self, body: &str) -> Vec<&Said> {
        self.all(Command::UpstreamMessage)
            .filter(|said| said.message.body == body)
            .collect()
    }

    /// How many different messages with this body there are: so often was the application handed it.
    pub(super) fn handed(&self, body: &str) -> usize {
        let keys: BTreeSet<_> = self.sends(body).iter().map(|s| &*s.message.key).collect();
        keys.len()
    }

    /// The key of the message with this body.
    pub(super) fn key_of(&self, body: &str) -> String {
        self.sends(body)
            .first()
            .map(|said| said.message.key.clone())
            .unwrap_or_default()
    }

    /// How often a push was acknowledged.
    pub(super) fn acks(&self, key: &str) -> usize {
        self.all(Command::DownstreamAck)
            .filter(|said| said.message.key == key)
            .count()
    }
}

/// A message in a line of the timeline.
fn shown(message: &Message) -> String {
    let mut out = match Command::try_from(message.cmd) {
        Ok(cmd) => cmd.as_str_name().to_owned(),
        Err(_) => format!("command {}", message.cmd),
    };
    if !message.key.is_empty() {
        let _ = write!(out, " {:?}", message.key);
    }
    if !message.body.is_empty() {
        let _ = write!(out, " {}", brief(&message.body));
    }
    if let Some(fault) = &message.fault {
        let again = if fault.retryable { "" } else { "not " };
        let _ = write!(
            out,
            " {} ({again}retryable, after {}ms)",
            fault.code, fault.retry_after_ms
        );
    }
    out
}

fn brief(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= SHOWN {
        return format!("{text:?}");
    }
    let first: String = text.chars().take(20).collect();
    format!("{first:?}... ({} bytes)", bytes.len())
}

/// A time as people read it.
pub(super) fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
