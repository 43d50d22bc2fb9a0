//! `presence:` of the configuration.

use linkgate_filter::problem::Problems;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::outbox::{Destination, NoticeService, NoticeTopic};

/// Who is told which users come and go: `PresenceEvent` of `linkgate/v1/presence.proto`, in a topic or by
/// `PresenceService`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PresenceConfig {
    /// A topic of a broker, whatever its kind. The record of a node's start has the node's id for its key.
    pub kafka: Option<NoticeTopic>,
    /// A service of a backend.
    pub grpc: Option<NoticeService>,
    /// Events that wait to be told, at the most; further ones are dropped and counted. Default: 100000.
    #[schemars(range(min = 1))]
    pub max_queued: u32,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            kafka: None,
            grpc: None,
            max_queued: 100_000,
        }
    }
}

impl PresenceConfig {
    /// Where the events go.
    pub fn destination(&self) -> Destination {
        Destination {
            kafka: self.kafka.clone(),
            grpc: self.grpc.clone(),
        }
    }

    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        self.destination().check(problems);
        if self.max_queued == 0 {
            problems
                .at("max_queued", "0 would let no event through")
                .hint("write 1 or more, or leave it out");
        }
    }
}
