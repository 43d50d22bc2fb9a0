//! What the config says, and what of it makes sense.

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use linkgate_filter::{Deserialize, JsonSchema, Message, Prepare, schemars};

/// Whom a key belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum Scope {
    /// To its user: one user's keys do not block another's.
    #[default]
    User,
    /// To the business: the same key of two users is one message.
    Biz,
}

/// What becomes of a key whose message may or may not have had an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum OnUnknown {
    /// It is free again, and the client may retry: the backend may see the message twice, and tells it by its key.
    #[default]
    Retry,
    /// It stays taken for `remember_for`, and retries are refused: the backend sees the message once at the most, unless
    /// its node dies under it, or the store is away for longer than `reserve_for`.
    Refuse,
}

/// What becomes of a message while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum OnStoreFailure {
    /// It is refused with a retryable NACK.
    #[default]
    Reject,
    /// It goes on as if it were new; only duplicates in flight on this node are told.
    Pass,
}

/// The config of `dedup`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Config {
    /// The name of the store that remembers.
    pub store: String,
    /// How long the outcome of an accepted message is remembered. Should be longer than clients retry. Default: 10m, at
    /// most 7d.
    #[serde(default = "Config::remember_for")]
    pub remember_for: HumanDuration,
    /// How long a key stays reserved when the node that works on its message dies; while the node lives, it renews this.
    /// Default: 30s, at least 1s, at most 1h.
    #[serde(default = "Config::reserve_for")]
    pub reserve_for: HumanDuration,
    /// Whom a key belongs to. Default: user.
    #[serde(default)]
    pub scope: Scope,
    /// What becomes of a key whose message may or may not have had an effect. Default: retry.
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// What becomes of a message while the store does not answer. Default: reject.
    #[serde(default)]
    pub on_store_failure: OnStoreFailure,
    /// How long it is tried to record that a message was accepted, before its client is told that this is not known.
    /// Default: 5s.
    #[serde(default = "Config::confirm_within")]
    pub confirm_within: HumanDuration,
    /// The largest answer that is remembered; a retry of a message with a larger one is acknowledged without it. Default:
    /// 4KiB, at most 1MiB.
    #[serde(default = "Config::max_answer")]
    pub max_answer: ByteSize,
    /// How many retries of one message in flight wait for its outcome; further ones get a retryable NACK. Default: 16.
    #[serde(default = "Config::max_waiting")]
    #[schemars(range(max = 1000))]
    pub max_waiting: usize,
    /// What keys begin with in the store, for stores that others use too. Default: linkgate.
    #[serde(default = "Config::prefix")]
    pub prefix: String,
    /// Messages that may be repeated without harm and are not looked at. Default: none.
    #[serde(default)]
    pub replayable: Vec<Class>,
}

/// A class of messages: by the beginning of their key, or by a field of their body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct Class {
    /// The key begins with this.
    pub key_prefix: Option<String>,
    /// The body is JSON and has this field: a JSON pointer (RFC 6901), such as `/type`. Needs `equals`.
    pub field: Option<String>,
    /// What the field holds: a text as it is, a number, `true` or `false` as JSON writes it.
    pub equals: Option<String>,
}

impl Class {
    pub(crate) fn has(&self, m: &Message) -> bool {
        if let Some(prefix) = &self.key_prefix {
            return m.key.starts_with(prefix.as_str());
        }
        let (Some(field), Some(expected)) = (&self.field, &self.equals) else {
            return false;
        };
        let body: Option<serde_json::Value> = serde_json::from_slice(&m.body).ok();
        let found = body.as_ref().and_then(|body| body.pointer(field));
        let written = match found {
            Some(serde_json::Value::String(text)) => return text == expected,
            Some(plain) if plain.is_number() || plain.is_boolean() => plain.to_string(),
            _ => return false,
        };
        written == *expected
    }

    fn check(&self, problems: &mut Problems) {
        match (&self.key_prefix, &self.field, &self.equals) {
            (Some(prefix), None, None) if prefix.is_empty() => {
                problems
                    .at("key_prefix", "every key begins with nothing")
                    .hint("leave the filter out if no message is to be looked at");
            }
            (Some(_), None, None) => {}
            (None, Some(field), Some(_)) if field.starts_with('/') => {}
            (None, Some(_), Some(_)) => {
                problems
                    .at("field", "this is no JSON pointer")
                    .hint("begin it with `/`, such as `/type`");
            }
            _ => {
                problems
                    .at(Path::root(), "this class says nothing, or too much")
                    .hint("write `{ key_prefix: ... }`, or `{ field: /..., equals: ... }`");
            }
        }
    }
}

impl Config {
    fn remember_for() -> HumanDuration {
        Duration::from_secs(600).into()
    }

    fn reserve_for() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    fn confirm_within() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    fn max_answer() -> ByteSize {
        ByteSize::kib(4)
    }

    fn max_waiting() -> usize {
        16
    }

    fn prefix() -> String {
        "linkgate".to_owned()
    }

    pub(crate) fn check(self, cx: &Prepare<'_>) -> Result<Self, Problems> {
        const HOUR: Duration = Duration::from_secs(3600);
        let mut problems = Problems::new();
        cx.store("store", &self.store, &mut problems);
        for (key, time, least, most) in [
            (
                "remember_for",
                self.remember_for,
                Duration::from_secs(1),
                HOUR * 24 * 7,
            ),
            (
                "reserve_for",
                self.reserve_for,
                Duration::from_secs(1),
                HOUR,
            ),
            (
                "confirm_within",
                self.confirm_within,
                Duration::from_millis(100),
                HOUR,
            ),
        ] {
            if !(least..=most).contains(&time) {
                let (least, most) = (HumanDuration::from(least), HumanDuration::from(most));
                problems.at(key, format!("{time} is not between {least} and {most}"));
            }
        }
        if *self.remember_for < *self.reserve_for {
            let what = format!(
                "{} is shorter than `reserve_for`, {}",
                self.remember_for, self.reserve_for
            );
            problems
                .at("remember_for", what)
                .hint("an outcome should be remembered longer than a key is reserved");
        }
        if self.max_answer > ByteSize::mib(1) {
            problems.at(
                "max_answer",
                format!("{} is more than 1MiB", self.max_answer),
            );
        }
        if self.max_waiting > 1000 {
            problems.at("max_waiting", "more than 1000 retries of one message");
        }
        for (i, class) in self.replayable.iter().enumerate() {
            let mut part = Problems::new();
            class.check(&mut part);
            problems.extend_under(&Path::from("replayable").then(i), part);
        }
        problems.into_result(self)
    }
}
