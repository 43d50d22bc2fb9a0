//! The filters, by what they do.

use std::any::Any;
use std::time::Duration;

use linkgate_filter::{
    Bytes, Command, Context, Deserialize, Fact, Fault, Filter, FilterType, JsonSchema, Message,
    Open, Outcome, Owned, OwnedScope, Prepare, Properties, Registry, Settle, Token, Verdict,
    problem::Problems,
};

use super::{Desk, Go, label, says};

pub fn registry() -> Registry {
    Registry::new()
        .with::<Codec>()
        .with::<Note>()
        .with::<Wait>()
        .with::<Track>()
        .with::<Pick>()
        .with::<Hold>()
        .with::<Join>()
        .with::<Call>()
        .with::<Keep>()
        .with::<Linger>()
        .with::<Echo>()
}

/// Makes the [`FilterType`] of a filter that is made of its config and id alone.
macro_rules! filter_type {
    ($type:ident, $name:literal, $filter:ident, $properties:expr) => {
        impl FilterType for $type {
            const NAME: &'static str = $name;
            type Config = Self;
            type Filter = $filter;

            fn prepare(config: Self, _: &Prepare<'_>) -> Result<Self, Problems> {
                Ok(config)
            }

            fn properties(&self) -> Properties {
                $properties
            }

            fn filter(&self, cx: &Open<'_>) -> $filter {
                $filter::open(self, cx)
            }
        }
    };
}

/// Frames are `B key body`, `H`, `G key`; downstream they are the labels.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Codec {}

pub struct Coding;
filter_type!(
    Codec,
    "codec",
    Coding,
    Properties::new().gives(Fact::DECODED)
);

impl Coding {
    fn open(_: &Codec, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Coding {
    fn upstream(&mut self, mut m: Message, _: &mut Context<'_>) -> Verdict {
        let text = String::from_utf8_lossy(&m.body).into_owned();
        let mut words = text.splitn(3, ' ');
        let command = match words.next() {
            Some("B") => Command::UpstreamMessage,
            Some("H") => Command::Heartbeat,
            Some("G") => Command::DownstreamAck,
            _ => return Verdict::Refuse(m, Fault::client("codec.garbage")),
        };
        m.command = Some(command);
        m.key = words.next().unwrap_or_default().to_owned();
        m.body = Bytes::from(words.next().unwrap_or_default().to_owned());
        Verdict::Next(m)
    }

    fn downstream(&mut self, mut m: Message, _: &mut Context<'_>) -> Verdict {
        m.body = label(&m).into();
        (m.command, m.fault) = (None, None);
        m.key.clear();
        Verdict::Next(m)
    }
}

/// Notes what passes.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {}

pub struct Noting(String);
filter_type!(Note, "note", Noting, Properties::new());

impl Noting {
    fn open(_: &Note, cx: &Open<'_>) -> Self {
        Self(cx.id().to_string())
    }
}

impl Filter for Noting {
    fn upstream(&mut self, m: Message, _: &mut Context<'_>) -> Verdict {
        Desk::note(format!("{} up {}", self.0, label(&m)));
        Verdict::Next(m)
    }

    fn downstream(&mut self, m: Message, _: &mut Context<'_>) -> Verdict {
        Desk::note(format!("{} down {}", self.0, label(&m)));
        Verdict::Next(m)
    }
}

/// Waits for the gate `ID KEY` with messages whose key or body has `mark` in it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Wait {
    up: bool,
    down: bool,
    /// With heartbeats, acknowledgements and answers too.
    others: bool,
    mark: String,
}

pub struct Waiting(String, Wait);
filter_type!(Wait, "wait", Waiting, Properties::new());

impl Waiting {
    fn open(config: &Wait, cx: &Open<'_>) -> Self {
        Self(cx.id().to_string(), config.clone())
    }

    fn wait(&self, m: Message, wanted: bool) -> Verdict {
        let business = matches!(
            m.command,
            None | Some(Command::UpstreamMessage | Command::DownstreamMessage)
        );
        let body = String::from_utf8_lossy(&m.body).into_owned();
        let marked = m.key.contains(&self.1.mark) || body.contains(&self.1.mark);
        if !wanted || !marked || !(business || self.1.others) {
            return Verdict::Next(m);
        }
        let name = if m.key.is_empty() { &body } else { &m.key };
        let gate = Desk::gate(&format!("{} {name}", self.0));
        Verdict::wait(async move { (m, gate.await) })
    }
}

impl Filter for Waiting {
    fn upstream(&mut self, m: Message, _: &mut Context<'_>) -> Verdict {
        self.wait(m, self.1.up)
    }

    fn downstream(&mut self, m: Message, _: &mut Context<'_>) -> Verdict {
        self.wait(m, self.1.down)
    }

    fn resumed(&mut self, m: Message, value: Box<dyn Any + Send>, cx: &mut Context<'_>) -> Verdict {
        match value.downcast::<Go>().map(|go| *go) {
            Ok(Go::Done) => {
                cx.settle(m, Outcome::accepted("done"));
                Verdict::Done
            }
            Ok(Go::Refuse) => Verdict::Refuse(m, Fault::backend("wait.refused")),
            Ok(Go::Again) => self.wait(m, true),
            Ok(Go::Panic) => panic!("told to"),
            Ok(Go::On) | Err(_) => Verdict::Next(m),
        }
    }
}

/// Tracks business messages and notes their outcomes; answers the client like `ack_retry`, or confirms like `dedup`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Track {
    /// Sends the client its answer.
    answer: bool,
    /// Waits for the gate `ID KEY` before the outcome goes on.
    confirm: bool,
    /// Tracks pushes and raw messages too.
    all: bool,
}

pub struct Tracking {
    id: String,
    config: Track,
    keys: Vec<Option<String>>,
}
filter_type!(
    Track,
    "track",
    Tracking,
    Properties::new().gives(Fact::ANSWERED)
);

impl Tracking {
    fn open(config: &Track, cx: &Open<'_>) -> Self {
        let (id, config) = (cx.id().to_string(), config.clone());
        Self {
            id,
            config,
            keys: Vec::new(),
        }
    }

    fn track(&mut self, m: &mut Message, cx: &mut Context<'_>) {
        if self.config.all || m.command == Some(Command::UpstreamMessage) {
            cx.track(m, Token(self.keys.len() as u64));
            Desk::note(format!("{} tracked {}", self.id, m.key));
            self.keys.push(Some(m.key.clone()));
        }
    }
}

impl Filter for Tracking {
    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_>) -> Verdict {
        self.track(&mut m, cx);
        Verdict::Next(m)
    }

    fn downstream(&mut self, mut m: Message, cx: &mut Context<'_>) -> Verdict {
        if self.config.all {
            self.track(&mut m, cx);
        }
        Verdict::Next(m)
    }

    fn settled(&mut self, token: Token, outcome: Outcome, cx: &mut Context<'_>) -> Settle {
        let key = self.keys[token.0 as usize].take().unwrap();
        Desk::note(format!("{} settled {key} {}", self.id, says(&outcome)));
        if self.config.answer {
            let link = cx.link().clone();
            cx.downstream(match &outcome {
                Outcome::Accepted(answer) => {
                    Message::new(link, Command::UpstreamAck, key.clone(), answer.body.clone())
                }
                Outcome::Failed(fault) | Outcome::Unknown(fault) => {
                    Message::nack(link, key.clone(), fault.clone())
                }
            });
        }
        if !self.config.confirm {
            return Settle::Next(outcome);
        }
        let (id, gate) = (self.id.clone(), Desk::gate(&format!("{} {key}", self.id)));
        Settle::Wait(Box::pin(async move {
            let go = gate.await;
            Desk::note(format!("{id} confirmed {key} {go:?}"));
            outcome
        }))
    }
}

/// Refuses keys with `bad` in them, loses those with `lost`, doubles those with `twin`, panics at `panic`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pick {}

pub struct Picking;
filter_type!(Pick, "pick", Picking, Properties::new());

impl Picking {
    fn open(_: &Pick, _: &Open<'_>) -> Self {
        Self
    }

    fn pick(m: Message) -> Verdict {
        let parts: String = m.parts().iter().map(label).collect();
        let name = format!("{} {} {parts}", m.key, String::from_utf8_lossy(&m.body));
        if name.contains("bad") {
            return Verdict::Refuse(m, Fault::client("pick.bad"));
        }
        assert!(!name.contains("panic"), "told to");
        if name.contains("lost") {
            Verdict::Done
        } else {
            Verdict::Next(m)
        }
    }
}

impl Filter for Picking {
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        if m.key.contains("twin") {
            let mut twin = m.copy();
            twin.key.push_str("-first");
            cx.upstream(twin);
            cx.downstream(Message::new(
                m.link.clone(),
                Command::Redirect,
                m.key.clone(),
                "",
            ));
        }
        Self::pick(m)
    }

    fn downstream(&mut self, m: Message, _: &mut Context<'_>) -> Verdict {
        Self::pick(m)
    }
}

/// Keeps business messages until a second has passed since the first of them, or the link closes.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {}

#[derive(Default)]
pub struct Holding {
    held: Vec<Message>,
    closed: bool,
}
filter_type!(Hold, "hold", Holding, Properties::new());

impl Holding {
    fn open(_: &Hold, _: &Open<'_>) -> Self {
        Self::default()
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        for m in self.held.drain(..) {
            cx.upstream(m);
        }
    }
}

impl Filter for Holding {
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) || self.closed {
            return Verdict::Next(m);
        }
        if self.held.is_empty() {
            cx.wake_after(Duration::from_secs(1), Token(0));
        }
        self.held.push(m);
        Verdict::Done
    }

    fn wake(&mut self, _: Token, cx: &mut Context<'_>) {
        self.flush(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        self.flush(cx);
    }
}

/// Joins `size` messages of any links; the trunk begins here. After five seconds and at close it sends what it has.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    size: usize,
}

pub struct Joining {
    size: usize,
    parts: Vec<Message>,
    closed: bool,
}
filter_type!(Join, "join", Joining, Properties::new().joins_links());

impl Joining {
    fn open(config: &Join, _: &Open<'_>) -> Self {
        let size = config.size;
        Self {
            size,
            parts: Vec::new(),
            closed: false,
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        if let Some(m) = Message::joined(std::mem::take(&mut self.parts)) {
            cx.upstream(m);
        }
    }
}

impl Filter for Joining {
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        if self.parts.is_empty() {
            cx.wake_after(Duration::from_secs(5), Token(0));
        }
        self.parts.push(m);
        if self.parts.len() >= self.size || self.closed {
            self.flush(cx);
        }
        Verdict::Done
    }

    fn wake(&mut self, _: Token, cx: &mut Context<'_>) {
        self.flush(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        self.flush(cx);
    }
}

/// An end that calls a backend: the gate `ID KEY`; `Refuse` fails the message, `Panic` panics in the future.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {}

pub struct Calling(String);
filter_type!(Call, "call", Calling, Properties::new().terminal());

impl Calling {
    fn open(_: &Call, cx: &Open<'_>) -> Self {
        Self(cx.id().to_string())
    }
}

impl Filter for Calling {
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        Desk::note(format!("{} called {}", self.0, label(&m)));
        let gate = Desk::gate(&format!("{} {}", self.0, m.key));
        cx.spawn(Token(0), async move {
            match gate.await {
                Go::Refuse => m.settle(super::failed()),
                Go::Panic => panic!("told to"),
                Go::Done => drop(m),
                Go::On | Go::Again => {
                    let answer = format!("re {}", m.key);
                    m.settle(Outcome::accepted(answer));
                }
            }
        });
        Verdict::Done
    }
}

/// Keeps pushes in the session until the client has got them; sends them again every 10 seconds, on a new link at
/// once, and without a link for a minute.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {}

pub struct Keeping {
    kept: Owned<Vec<Message>>,
    closed: bool,
    armed: bool,
}
filter_type!(Keep, "keep", Keeping, Properties::new());

impl Keeping {
    const AGAIN: Token = Token(0);
    const LEAVE: Token = Token(1);

    fn open(_: &Keep, cx: &Open<'_>) -> Self {
        let kept = cx.owned(OwnedScope::Session, Vec::new);
        Self {
            kept,
            closed: false,
            armed: false,
        }
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.armed, true) {
            cx.wake_after(Duration::from_secs(10), Self::AGAIN);
        }
    }

    fn send_all(&mut self, cx: &mut Context<'_>) {
        let copies = self
            .kept
            .with(|kept| kept.iter().map(Message::copy).collect::<Vec<_>>());
        let copies = copies.unwrap_or_default();
        if !copies.is_empty() {
            self.arm(cx);
        }
        copies.into_iter().for_each(|copy| cx.downstream(copy));
    }
}

impl Filter for Keeping {
    fn opened(&mut self, cx: &mut Context<'_>) {
        self.send_all(cx);
    }

    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        if m.command != Some(Command::DownstreamAck) {
            return Verdict::Next(m);
        }
        let got = self.kept.with(|kept| {
            let at = kept.iter().position(|push| push.key == m.key)?;
            Some(kept.remove(at))
        });
        if let Some(push) = got.flatten() {
            cx.settle(push, Outcome::accepted("got"));
        }
        Verdict::Done
    }

    fn downstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        if m.command != Some(Command::DownstreamMessage) {
            return Verdict::Next(m);
        }
        let copy = m.copy();
        let mut m = Some(m);
        let kept = self.kept.with(|kept| kept.extend(m.take()));
        match (kept, m) {
            (None, Some(m)) => Verdict::Refuse(m, Fault::gateway("keep.fenced")),
            _ if self.closed => {
                self.close(cx);
                Verdict::Done
            }
            _ => {
                self.arm(cx);
                Verdict::Next(copy)
            }
        }
    }

    fn wake(&mut self, token: Token, cx: &mut Context<'_>) {
        match token {
            Self::AGAIN => {
                self.armed = false;
                self.send_all(cx);
            }
            _ => {
                let left = self.kept.with(std::mem::take).unwrap_or_default();
                for push in left {
                    cx.settle(push, Outcome::Failed(Fault::client("keep.offline")));
                }
            }
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        if self.kept.with(|kept| !kept.is_empty()) == Some(true) {
            cx.wake_after(Duration::from_secs(60), Self::LEAVE);
        }
    }
}

/// Arms a timer of ten seconds in `close`, and notes its end.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Linger {}

pub struct Lingering;
filter_type!(Linger, "linger", Lingering, Properties::new());

impl Lingering {
    fn open(_: &Linger, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Lingering {
    fn close(&mut self, cx: &mut Context<'_>) {
        cx.wake_after(Duration::from_secs(10), Token(7));
    }

    fn wake(&mut self, token: Token, _: &mut Context<'_>) {
        Desk::note(format!("lingered {}", token.0));
    }
}

/// An end that accepts everything at once with its own body.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Echo {}

pub struct Echoing;
filter_type!(Echo, "echo", Echoing, Properties::new().terminal());

impl Echoing {
    fn open(_: &Echo, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Echoing {
    fn upstream(&mut self, m: Message, cx: &mut Context<'_>) -> Verdict {
        let body = m.body.clone();
        cx.settle(m, Outcome::accepted(body));
        Verdict::Done
    }
}
