//! The sentences of steps.

mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use linkgate_core::config::tree::Tree;
use linkgate_filter::problem::{Path as Place_, Problems, deserialize, nearest};
use linkgate_filter::units::HumanDuration;
use serde_json::{Value, json};

use self::value::{repeated, shorthand};
use super::docs::{self, OneOrMany};
use super::text::bytes;
use super::{Action, Answer, Expectation, Kind, Place, Sent, With, checks};

/// How much time can pass in one.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// A step, taken apart.
pub(super) struct Sentence<'a> {
    /// What is said.
    pub(super) words: &'a str,
    /// What stands behind it.
    pub(super) value: &'a serde_json::Value,
    /// What stands beside it.
    pub(super) options: &'a [(&'a str, &'a Tree)],
    /// Where relative paths begin.
    pub(super) folder: &'a Path,
}

/// What is wrong with a step.
pub(super) enum Wrong {
    /// Nobody says that; and what to say.
    Words(String, String),
    /// What stands behind the sentence.
    Value(Problems),
    /// What stands beside it, under this name.
    Option(String, Problems),
}

impl From<Problems> for Wrong {
    fn from(problems: Problems) -> Self {
        Self::Value(problems)
    }
}

/// Every sentence, for who writes one that is not known.
pub(super) const SENTENCES: &[&str] = &[
    "CLIENT connects",
    "CLIENT reconnects",
    "CLIENT sends",
    "CLIENT sends text",
    "CLIENT sends binary",
    "CLIENT acknowledges",
    "CLIENT disconnects",
    "CLIENT closes",
    "CLIENT stops reading",
    "CLIENT reads again",
    "CLIENT receives",
    "CLIENT receives text",
    "CLIENT receives binary",
    "CLIENT is closed",
    "CLIENT is refused",
    "backend NAME receives",
    "backend NAME receives batch",
    "backend NAME receives reports",
    "backend NAME receives presence",
    "backend NAME goes away",
    "backend NAME comes back",
    "broker NAME receives",
    "broker NAME fails",
    "broker NAME recovers",
    "broker NAME gets",
    "store NAME fails",
    "store NAME recovers",
    "push",
    "push KEY ends",
    "push KEY fails",
    "time passes",
    "config changes to",
    "config is refused",
    "node stops",
    "nothing happens",
    "faults",
    "metrics change",
    "in any order",
];

impl Sentence<'_> {
    pub(super) fn read(&self) -> Result<Kind, Wrong> {
        let words: Vec<&str> = self.words.split_whitespace().collect();
        let kind = match *words.as_slice() {
            ["push"] => {
                let push: docs::Push = self.value()?;
                checks::body(&push.body)?;
                checks::times(push.times)?;
                Kind::Action(Action::Push(push))
            }
            ["push", key, "ends"] => {
                self.check::<BTreeMap<String, docs::SeenOutcome>>()?;
                self.seen(
                    Place::Ended(key.into()),
                    json!({ "outcomes": self.value.clone() }),
                )?
            }
            ["push", key, "fails"] => {
                self.check::<docs::SeenFault>()?;
                self.seen(
                    Place::Ended(key.into()),
                    json!({ "fault": self.value.clone() }),
                )?
            }
            ["time", "passes"] => {
                let time = self.time()?;
                if time > LONGEST {
                    return Err(
                        self.wrong("more than 30d pass in no step: every ping in it is sent")
                    );
                }
                Kind::Action(Action::Pass(time))
            }
            ["config", "changes", "to"] => Kind::Action(Action::Config(self.paths()?, true)),
            ["config", "is", "refused"] => Kind::Action(Action::Config(self.paths()?, false)),
            ["node", "stops"] => Kind::Action(Action::Stop(self.time()?)),
            ["nothing", "happens"] => Kind::Nothing,
            ["faults"] => Kind::Faults(self.value()?),
            ["metrics", "change"] => Kind::Metrics(self.value()?),
            ["backend", name, ref what @ ..] => self.backend(name, what)?,
            ["broker", name, ref what @ ..] => self.broker(name, what)?,
            ["store", name, "fails"] => Kind::Action(Action::Store(name.into(), self.value()?)),
            ["store", name, "recovers"] => Kind::Action(Action::Store(name.into(), over())),
            [name, ref what @ ..] => self.client(name, what)?,
            [] => return Err(self.unknown()),
        };
        if takes_no_value(&words) && !self.value.is_null() {
            let message = format!("`{}` takes no value", self.words);
            return Err(Wrong::Words(
                message,
                format!("write `- {}` alone", self.words),
            ));
        }
        if let Kind::Action(_) | Kind::Nothing | Kind::Faults(_) | Kind::Metrics(_) = kind
            && let Some((name, _)) = self.options.first()
        {
            return Err(self.stray(name));
        }
        Ok(kind)
    }

    fn client(&self, name: &str, what: &[&str]) -> Result<Kind, Wrong> {
        let name = name.to_owned();
        Ok(match what {
            ["connects"] => Kind::Action(Action::Connect(name, self.or_default()?, false)),
            ["reconnects"] => Kind::Action(Action::Connect(name, self.or_default()?, true)),
            ["sends"] => {
                let messages: Vec<docs::Message> = self.list()?;
                if self.value.is_null() || messages.is_empty() {
                    return Err(self.wrong("there is no message: write `{ key: ..., body: ... }`"));
                }
                for message in &messages {
                    checks::message(message)?;
                }
                let sent = messages.into_iter().map(Sent::Message);
                Kind::Action(Action::Send(name, sent.collect()))
            }
            ["sends", "text"] => Kind::Action(Action::Send(name, vec![Sent::Text(self.value()?)])),
            ["sends", "binary"] => {
                let body: docs::BodyForm = self.value()?;
                let bytes = bytes(&docs::Body::Other(body)).map_err(|why| self.wrong(&why))?;
                Kind::Action(Action::Send(name, vec![Sent::Binary(bytes)]))
            }
            ["acknowledges"] => {
                let keys: Vec<String> = self.list()?;
                if keys.is_empty() {
                    return Err(self.wrong("there is no key"));
                }
                let sent = keys.into_iter().map(|key| {
                    Sent::Message(docs::Message {
                        cmd: Some("DOWNSTREAM_ACK".to_owned()),
                        key: docs::Body::Text(key),
                        body: docs::Body::default(),
                        times: None,
                    })
                });
                Kind::Action(Action::Send(name, sent.collect()))
            }
            ["disconnects"] => Kind::Action(Action::Disconnect(name)),
            ["closes"] => Kind::Action(Action::Close(name, self.or(1000)?)),
            ["stops", "reading"] => Kind::Action(Action::Read(name, false)),
            ["reads", "again"] => Kind::Action(Action::Read(name, true)),
            ["receives"] => {
                let message: docs::SeenMessage = self.value()?;
                checks::command(&message.cmd)?;
                self.seen(Place::Message(name), self.value.clone())?
            }
            ["receives", "text"] => {
                self.check::<String>()?;
                self.seen(Place::Frame(name), json!({ "text": self.value.clone() }))?
            }
            ["receives", "binary"] => {
                self.check::<docs::SeenBody>()?;
                self.seen(Place::Frame(name), json!({ "binary": self.value.clone() }))?
            }
            ["is", "closed"] => {
                self.check::<docs::SeenClose>()?;
                self.seen(Place::Closed(name), shorthand(self.value.clone(), "code"))?
            }
            ["is", "refused"] => {
                self.check::<docs::SeenRefusal>()?;
                self.seen(
                    Place::Refused(name),
                    shorthand(self.value.clone(), "status"),
                )?
            }
            _ => return Err(self.unknown()),
        })
    }

    fn backend(&self, name: &str, what: &[&str]) -> Result<Kind, Wrong> {
        let name = name.to_owned();
        Ok(match what {
            ["receives"] => {
                self.check::<docs::SeenCall>()?;
                self.seen(Place::Call(name), self.value.clone())?
            }
            ["receives", "batch"] => {
                for item in self.value::<Vec<docs::SeenCall>>()? {
                    checks::times(item.times)?;
                }
                self.seen(Place::Batch(name), json!({ "items": repeated(self.value) }))?
            }
            ["receives", "reports"] => {
                self.check_unless_empty::<Vec<docs::SeenReport>>()?;
                self.seen(
                    Place::Reports(name),
                    json!({ "reports": self.value.clone() }),
                )?
            }
            ["receives", "presence"] => {
                self.check_unless_empty::<Vec<docs::SeenPresence>>()?;
                self.seen(
                    Place::Presence(name),
                    json!({ "events": self.value.clone() }),
                )?
            }
            ["goes", "away"] => Kind::Action(Action::Backend(name, false)),
            ["comes", "back"] => Kind::Action(Action::Backend(name, true)),
            _ => return Err(self.unknown()),
        })
    }

    fn broker(&self, name: &str, what: &[&str]) -> Result<Kind, Wrong> {
        let name = name.to_owned();
        Ok(match what {
            ["receives"] => {
                self.check::<docs::SeenRecord>()?;
                self.seen(Place::Record(name), self.value.clone())?
            }
            ["fails"] => Kind::Action(Action::Broker(name, self.value()?)),
            ["recovers"] => Kind::Action(Action::Broker(name, over())),
            ["gets"] => Kind::Action(Action::Write(name, self.value()?)),
            _ => return Err(self.unknown()),
        })
    }

    /// Something is seen, and answered as the options say.
    fn seen(&self, at: Place, what: Value) -> Result<Kind, Wrong> {
        let is_asked = matches!(
            at,
            Place::Call(_) | Place::Batch(_) | Place::Reports(_) | Place::Presence(_)
        );
        let is_called = matches!(at, Place::Call(_) | Place::Batch(_));
        let is_record = matches!(at, Place::Record(_));
        let (mut answer, mut times) = (Answer::default(), 1);
        let mut answered: Option<&str> = None;
        for (name, tree) in self.options {
            let value = tree.value();
            let option = |problems| Wrong::Option((*name).to_owned(), problems);
            match *name {
                "answers" | "fails" | "never answers" | "never confirms" if answered.is_some() => {
                    let other = answered.unwrap_or_default();
                    let message = format!("`{name}` stands beside `{other}`");
                    return Err(Wrong::Words(message, "write one of them".to_owned()));
                }
                "answers" if is_called => {
                    let answers: OneOrMany<docs::Answer> = deserialize(&value).map_err(option)?;
                    let answers = answers.all();
                    let is_item = |one: &docs::Answer| one.missing;
                    if !matches!(at, Place::Batch(_))
                        && (answers.len() > 1 || answers.iter().any(is_item))
                    {
                        let message = "only to a batch a backend answers item by item".to_owned();
                        let hint = "write `answers: { body: ... }`, or `fails: STATUS` beside it";
                        return Err(Wrong::Words(message, hint.to_owned()));
                    }
                    answer.with = With::Said(answers);
                }
                "fails" if is_asked || is_record => {
                    let fails: docs::Fails = deserialize(&value).map_err(option)?;
                    checks::failure(&fails.form().with, is_record).map_err(option)?;
                    answer.with = With::Fails(fails);
                }
                "never answers" if is_asked && value.is_null() => answer.with = With::Never,
                "never confirms" if is_record && value.is_null() => answer.with = With::Never,
                "never answers" | "never confirms" if is_asked || is_record => {
                    let message = format!("`{name}` takes no value");
                    return Err(Wrong::Words(message, format!("write `{name}:` alone")));
                }
                "times" => {
                    times = deserialize(&value).map_err(option)?;
                    checks::times(Some(times)).map_err(option)?;
                }
                "after" if is_asked || is_record => {
                    let after: HumanDuration = deserialize(&value).map_err(option)?;
                    answer.after = *after;
                }
                name => return Err(self.stray(name)),
            }
            if !matches!(*name, "times" | "after") {
                answered = Some(name);
            }
        }
        if matches!(answer.with, With::Never) && !answer.after.is_zero() {
            return Err(self.stray("after"));
        }
        Ok(Kind::Expectation(Expectation {
            at,
            what,
            answer,
            times,
        }))
    }

    fn wrong(&self, why: &str) -> Wrong {
        let mut problems = Problems::new();
        problems.at(Place_::root(), why);
        Wrong::Value(problems)
    }

    fn stray(&self, option: &str) -> Wrong {
        Wrong::Words(
            format!("`{option}` says nothing beside `{}`", self.words),
            "`answers`, `fails`, `after` and `never answers` stand beside `backend NAME receives`; `fails`, `after` and \
             `never confirms` beside `broker NAME receives`; `times` beside whatever is seen"
                .to_owned(),
        )
    }

    fn unknown(&self) -> Wrong {
        let said: Vec<&str> = self.words.split_whitespace().collect();
        let name = |at: usize| said.get(at).copied().unwrap_or_default();
        let meant = |sentence: &&str| {
            let sentence = sentence.replace("CLIENT", name(0));
            sentence.replace("NAME", name(1)).replace("KEY", name(1))
        };
        let known: Vec<String> = SENTENCES.iter().map(meant).collect();
        let hint = match nearest(self.words, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the steps are: {}", SENTENCES.join(", ")),
        };
        Wrong::Words(format!("`{}` is no step", self.words), hint)
    }
}

fn takes_no_value(words: &[&str]) -> bool {
    matches!(
        words,
        ["nothing", "happens"]
            | [_, "disconnects"]
            | [_, "stops", "reading"]
            | [_, "reads", "again"]
            | ["broker" | "store", _, "recovers"]
            | ["backend", _, "goes" | "comes", "away" | "back"]
    )
}

fn over() -> docs::Trouble {
    docs::Trouble::Other(docs::TroubleForm {
        over: true,
        ..docs::TroubleForm::default()
    })
}
