//! Where notices go: a topic, or a service.

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::runner::EdgeName;
use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where backends are told of something: one of `kafka` and `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Destination {
    /// A topic of a broker, whatever its kind.
    pub kafka: Option<NoticeTopic>,
    /// A service of a backend.
    pub grpc: Option<NoticeService>,
}

/// A topic. The records are JSON, one each, under the key `bizID-userID`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeTopic {
    /// The name of the broker.
    pub broker: String,
    /// The topic.
    pub topic: String,
}

/// A service of a backend, called with as many notices as have gathered while the call before it was under way.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeService {
    /// The name of the backend.
    pub backend: String,
    /// How long a call may take; after that all its notices are told again. Default: 5s.
    #[serde(default = "NoticeService::timeout")]
    pub timeout: HumanDuration,
    /// Notices in one call, at the most. Default: 500.
    #[serde(default = "NoticeService::max_notices")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_notices: u32,
}

impl NoticeService {
    const MOST: u32 = 10_000;

    fn timeout() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    fn max_notices() -> u32 {
        500
    }

    fn check(&self, problems: &mut Problems) {
        if self.timeout.is_zero() {
            problems
                .at(["grpc", "timeout"], "this has to be longer than 0s")
                .hint("write a duration such as `5s`");
        }
        if !(1..=Self::MOST).contains(&self.max_notices) {
            let what = format!("{} is not between 1 and {}", self.max_notices, Self::MOST);
            problems.at(["grpc", "max_notices"], what);
        }
    }
}

impl Destination {
    /// What lies outside that it names.
    pub(crate) fn edge(&self) -> Option<EdgeName> {
        let broker = |kafka: &NoticeTopic| EdgeName::Broker(kafka.broker.clone());
        let backend = |grpc: &NoticeService| EdgeName::Backend(grpc.backend.clone());
        let kafka = self.kafka.as_ref().map(broker);
        kafka.or_else(|| self.grpc.as_ref().map(backend))
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        match (&self.kafka, &self.grpc) {
            (None, None) => {
                problems
                    .at(Path::root(), "this says neither which topic nor which service")
                    .hint("write one of `kafka: { broker: ..., topic: ... }` and `grpc: { backend: ... }`");
            }
            (Some(_), Some(_)) => {
                problems
                    .at("grpc", "a topic is named already")
                    .on_key()
                    .hint("keep one of `kafka` and `grpc`");
            }
            (Some(kafka), None) if kafka.topic.is_empty() => {
                problems.at(["kafka", "topic"], "a topic has a name");
            }
            (Some(_), None) => {}
            (None, Some(grpc)) => grpc.check(problems),
        }
    }
}
