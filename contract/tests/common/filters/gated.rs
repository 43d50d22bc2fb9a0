//! Filters that stop at a gate of the desk until the test lets them go.

use linkgate_filter::{
    Command, Context, Deserialize, Fault, Filter, JsonSchema, Message, Never, Open, Outcome,
    Properties, Settle, Verdict,
};

use super::filter_type;
use crate::common::{Desk, Go, failed, label, says};

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

    fn wait(&self, m: Message, wanted: bool, cx: &Context<'_, Self>) -> Verdict {
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
        cx.wait(async move { (m, gate.await) })
    }
}

impl Filter for Waiting {
    type Token = Never;
    type Timer = Never;
    type Waited = Go;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        self.wait(m, self.1.up, cx)
    }

    fn downstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        self.wait(m, self.1.down, cx)
    }

    fn resumed(&mut self, m: Message, go: Go, cx: &mut Context<'_, Self>) -> Verdict {
        match go {
            Go::Done => {
                cx.settle(m, Outcome::accepted("done"));
                Verdict::Done
            }
            Go::Refuse => Verdict::Refuse(m, Fault::backend("wait.refused")),
            Go::Again => self.wait(m, true, cx),
            Go::Panic => panic!("told to"),
            Go::On => Verdict::Next(m),
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
    /// Tracks pushes too.
    pushes: bool,
}

pub struct Tracking {
    id: String,
    config: Track,
}
filter_type!(Track, "track", Tracking, Properties::new());

impl Tracking {
    fn open(config: &Track, cx: &Open<'_>) -> Self {
        let (id, config) = (cx.id().to_string(), config.clone());
        Self { id, config }
    }

    fn track(&mut self, m: &mut Message, cx: &mut Context<'_, Self>) {
        let key = m.key.clone();
        Desk::note(format!("{} tracked {key}", self.id));
        cx.track(m, key);
    }
}

impl Filter for Tracking {
    type Token = String;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if self.config.all || m.command == Some(Command::UpstreamMessage) {
            self.track(&mut m, cx);
        }
        Verdict::Next(m)
    }

    fn downstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if self.config.all || self.config.pushes && m.command == Some(Command::DownstreamMessage) {
            self.track(&mut m, cx);
        }
        Verdict::Next(m)
    }

    fn settled(&mut self, key: String, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
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
        Settle::wait(async move {
            let go = gate.await;
            Desk::note(format!("{id} confirmed {key} {go:?}"));
            outcome
        })
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
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = ();

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        Desk::note(format!("{} called {}", self.0, label(&m)));
        let gate = Desk::gate(&format!("{} {}", self.0, m.key));
        cx.spawn(async move {
            match gate.await {
                Go::Refuse => m.settle(failed()),
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
