//! Filters that keep messages for a while: timers, joins, the session.

use std::time::{Duration, Instant};

use linkgate_filter::{
    Command, Context, Deserialize, Fault, Filter, JsonSchema, Message, Never, Open, Outcome, Owned,
    OwnedScope, Properties, TimerId, Verdict,
};

use super::filter_type;
use crate::common::Desk;

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

    fn flush(&mut self, cx: &mut Context<'_, Self>) {
        for m in self.held.drain(..) {
            cx.upstream(m);
        }
    }
}

impl Filter for Holding {
    type Token = Never;
    type Timer = ();
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) || self.closed {
            return Verdict::Next(m);
        }
        if self.held.is_empty() {
            cx.wake_after(Duration::from_secs(1), ());
        }
        self.held.push(m);
        Verdict::Done
    }

    fn wake(&mut self, (): (), cx: &mut Context<'_, Self>) {
        self.flush(cx);
    }

    fn close(&mut self, cx: &mut Context<'_, Self>) {
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

    fn flush(&mut self, cx: &mut Context<'_, Self>) {
        if let Some(m) = Message::joined(std::mem::take(&mut self.parts)) {
            cx.upstream(m);
        }
    }
}

impl Filter for Joining {
    type Token = Never;
    type Timer = ();
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if self.parts.is_empty() {
            cx.wake_after(Duration::from_secs(5), ());
        }
        self.parts.push(m);
        if self.parts.len() >= self.size || self.closed {
            self.flush(cx);
        }
        Verdict::Done
    }

    fn wake(&mut self, (): (), cx: &mut Context<'_, Self>) {
        self.flush(cx);
    }

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        self.closed = true;
        self.flush(cx);
    }
}

/// Keeps pushes in the session until the client has got them; sends them again every 10 seconds, on a new link at
/// once, and without a link for a minute. What is left when it goes, and nobody has taken over, is offline.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {}

pub struct Keeping {
    kept: Owned<Vec<Message>>,
    closed: bool,
    armed: bool,
}
filter_type!(Keep, "keep", Keeping, Properties::new());

/// What it is time for.
pub enum Late {
    Again,
    Leave,
}

impl Keeping {
    fn open(_: &Keep, cx: &Open<'_>) -> Self {
        let kept = cx.owned(OwnedScope::Session, Vec::new);
        Self {
            kept,
            closed: false,
            armed: false,
        }
    }

    fn arm(&mut self, cx: &mut Context<'_, Self>) {
        if !std::mem::replace(&mut self.armed, true) {
            cx.wake_after(Duration::from_secs(10), Late::Again);
        }
    }

    fn send_all(&mut self, cx: &mut Context<'_, Self>) {
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
    type Token = Never;
    type Timer = Late;
    type Waited = Never;
    type Done = Never;

    fn opened(&mut self, cx: &mut Context<'_, Self>) {
        self.send_all(cx);
    }

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
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

    fn downstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
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

    fn wake(&mut self, late: Late, cx: &mut Context<'_, Self>) {
        match late {
            Late::Again => {
                self.armed = false;
                self.send_all(cx);
            }
            Late::Leave => {
                let left = self.kept.with(std::mem::take).unwrap_or_default();
                for push in left {
                    cx.settle(push, offline());
                }
            }
        }
    }

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        self.closed = true;
        if self.kept.with(|kept| !kept.is_empty()) == Some(true) {
            cx.wake_after(Duration::from_secs(60), Late::Leave);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let left = self.kept.with(std::mem::take).unwrap_or_default();
        left.into_iter().for_each(|push| push.settle(offline()));
    }
}

fn offline() -> Outcome {
    Outcome::Failed(Fault::client("keep.offline"))
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
    type Token = Never;
    type Timer = u64;
    type Waited = Never;
    type Done = Never;

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        cx.wake_after(Duration::from_secs(10), 7);
    }

    fn wake(&mut self, timer: u64, _: &mut Context<'_, Self>) {
        Desk::note(format!("lingered {timer}"));
    }
}

/// Lets each business message pass a second later; when the chain closes, all at once.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {}

#[derive(Default)]
pub struct Delaying(Vec<TimerId>);
filter_type!(Delay, "delay", Delaying, Properties::new());

impl Delaying {
    fn open(_: &Delay, _: &Open<'_>) -> Self {
        Self::default()
    }
}

impl Filter for Delaying {
    type Token = Never;
    type Timer = Message;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) {
            return Verdict::Next(m);
        }
        self.0.push(cx.wake_after(Duration::from_secs(1), m));
        Verdict::Done
    }

    fn wake(&mut self, m: Message, cx: &mut Context<'_, Self>) {
        cx.upstream(m);
    }

    fn close(&mut self, cx: &mut Context<'_, Self>) {
        for timer in self.0.drain(..) {
            if let Some(m) = cx.cancel(timer) {
                cx.upstream(m);
            }
        }
    }
}

/// Sets a timer, and tries to take back the one that the chain before it has set for the same time.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {}

pub struct Anew(Owned<Option<(Instant, TimerId)>>);
filter_type!(Again, "again", Anew, Properties::new());

impl Anew {
    fn open(_: &Again, cx: &Open<'_>) -> Self {
        Self(cx.owned(OwnedScope::Link, || None))
    }
}

impl Filter for Anew {
    type Token = Never;
    type Timer = ();
    type Waited = Never;
    type Done = Never;

    fn opened(&mut self, cx: &mut Context<'_, Self>) {
        let earlier = self.0.with(|kept| *kept).flatten();
        let at = earlier.map_or(cx.now() + Duration::from_secs(1), |(at, _)| at);
        let timer = cx.wake_at(at, ());
        if let Some((_, earlier)) = earlier {
            assert_eq!(cx.cancel(earlier), None, "it was another chain's");
        }
        self.0.with(|kept| *kept = Some((at, timer)));
    }

    fn wake(&mut self, (): (), _: &mut Context<'_, Self>) {
        Desk::note("went off");
    }
}
