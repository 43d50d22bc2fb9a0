//! The filters, by what they do.

mod ends;
mod gated;
mod keeping;
mod slow;
mod trip;

use linkgate_filter::{
    Bytes, Command, Context, Deserialize, Fact, Fault, Filter, JsonSchema, Message, Never, Open,
    Outcome, Properties, Registry, Verdict,
};

use self::ends::{Arrive, Census};
use self::gated::{Call, Track, Wait};
use self::keeping::{Again, Delay, Hold, Join, Keep, Linger};
pub use self::slow::Seen;
use self::slow::Slow;
use self::trip::Trip;
use super::{Desk, label};

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
        .with::<Delay>()
        .with::<Again>()
        .with::<Slow>()
        .with::<Arrive>()
        .with::<Census>()
        .with::<Echo>()
        .with::<Trip>()
}

/// Makes the [`FilterType`] of a filter that is made of its config and id alone.
macro_rules! filter_type {
    ($type:ident, $name:literal, $filter:ident, $properties:expr) => {
        impl linkgate_filter::FilterType for $type {
            const NAME: &'static str = $name;
            type Config = Self;
            type Filter = $filter;

            fn prepare(
                config: Self,
                _: &linkgate_filter::Prepare<'_>,
            ) -> Result<Self, linkgate_filter::problem::Problems> {
                Ok(config)
            }

            fn properties(&self) -> linkgate_filter::Properties {
                $properties
            }

            fn filter(&self, cx: &linkgate_filter::Open<'_>) -> $filter {
                $filter::open(self, cx)
            }
        }
    };
}

use filter_type;

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
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
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

    fn downstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
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
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        Desk::note(format!("{} up {}", self.0, label(&m)));
        Verdict::Next(m)
    }

    fn downstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        Desk::note(format!("{} down {}", self.0, label(&m)));
        Verdict::Next(m)
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
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
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

    fn downstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        Self::pick(m)
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
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let body = m.body.clone();
        cx.settle(m, Outcome::accepted(body));
        Verdict::Done
    }
}
