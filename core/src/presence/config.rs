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
    /// What the records of the topic say. Default: events.
    pub format: PresenceFormat,
    /// Events that wait to be told, one by one, at the most. What changes beyond them is told once there is room, without the
    /// links that came and went meanwhile. Default: 100000.
    #[schemars(range(min = 1))]
    pub max_queued: u32,
}

/// What a record of presence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceFormat {
    /// A `PresenceEvent` of `linkgate/v1/presence.proto`, in JSON.
    #[default]
    Events,
    /// `{"bizId":1,"userId":1001,"action":"online"}`, as readers of the topic `gateway_users_action` of older gateways
    /// expect it: `online` for each link that opens, `offline` once the user's last link on the node has closed. Ids that
    /// are whole numbers are written as numbers. Of the start of a node nothing is told.
    UsersAction,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            kafka: None,
            grpc: None,
            format: PresenceFormat::Events,
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
        if self.format != PresenceFormat::Events && self.kafka.is_none() {
            problems
                .at("format", "only records of a topic have a format")
                .on_key()
                .hint("remove it, or write `kafka: { broker: ..., topic: ... }`");
        }
        if self.max_queued == 0 {
            problems
                .at("max_queued", "0 would let no event through")
                .hint("write 1 or more, or leave it out");
        }
    }
}
