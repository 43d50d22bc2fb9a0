//! `kafka:` of a push source: a topic of a broker.

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::units::{ByteSize, HumanDuration};
use schemars::JsonSchema;
use serde::Deserialize;

use super::at_least_one;
use crate::push::flights::Reach;

/// How a push from a topic finds the node that has its user's links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// This node alone reads the topic, and sends to the users it has: for a single node. A user who is not connected to
    /// it is offline. Another member of the group would read pushes to users who are here, and settle them as offline; so
    /// it is an error in the log, in the metric `linkgate_push_partitions_elsewhere`, and on `/readyz`.
    #[default]
    Local,
    /// The nodes share the topic as one consumer group, and each push goes to the nodes that have links of its user: needs
    /// `cluster.directory`. Where it cannot be known now whether a user is anywhere, a push waits; it is not reported offline.
    Directory,
    /// Every node reads the whole topic as a group of its own, `group` and the node's id, and sends to the users it
    /// has. No node knows what the others did: a push that none delivers is neither parked nor reported offline; one to a
    /// user who moves between nodes may come twice, under the same key, or not at all; and a node that was down reads
    /// late what was written meanwhile.
    Broadcast,
}

impl Routing {
    /// How far pushes go.
    pub(crate) fn reach(self) -> Reach {
        match self {
            Self::Local | Self::Broadcast => Reach::Here,
            Self::Directory => Reach::Everywhere,
        }
    }
}

/// Whether the node is ready while one of its sources cannot be read, or is read by others too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// `/readyz` answers 503 and says why, so that balancers send new clients elsewhere. A broker that is away makes all
    /// nodes not ready that read from it.
    Required,
    /// `/readyz` says why, and answers 200 all the same: clients' own messages need no topic of pushes.
    #[default]
    Ignored,
}

/// What becomes of a push whose client did not acknowledge it in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExpired {
    /// It is reported, and that is all.
    #[default]
    Report,
    /// It is parked and sent again later, until `expires_at` or `give_up_after`.
    Park,
    /// It is written to the dead-letter topic too.
    DeadLetter,
}

/// Pushes from a topic. A record is a `PushRequest` of `linkgate/v1/push.proto`, as protobuf or JSON, or one of an older
/// gateway (`docs/records.md`).
///
/// The group's offset moves past a push only once its outcome is reported, or the push is parked: written to a topic of
/// its own, from which it is taken up again.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSource {
    /// The name of the broker.
    pub broker: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Where pushes are parked. Default: the topic's name and `_parked`.
    #[serde(default)]
    pub park: Option<String>,
    /// Where records go that are no pushes, with the reason in their headers. Default: the topic's name and `_dead`.
    #[serde(default)]
    pub dead_letter: Option<String>,
    /// Unsettled pushes of one partition; beyond it, those that have waited for `min_hold` are parked, the longest
    /// waiting first, and the partition is not read until there is room. Default: 10000.
    #[serde(default = "TopicSource::max_unsettled")]
    #[schemars(range(min = 1))]
    pub max_unsettled: u32,
    /// What they may weigh; beyond it likewise. Default: 64MiB.
    #[serde(default = "TopicSource::max_unsettled_bytes")]
    pub max_unsettled_bytes: ByteSize,
    /// How long a push is let alone before want of room parks it. Default: 1s.
    #[serde(default = "TopicSource::min_hold")]
    pub min_hold: HumanDuration,
    /// How long a push may be unsettled before it is parked. Default: 30s.
    #[serde(default = "TopicSource::max_hold")]
    pub max_hold: HumanDuration,
    /// How long a parked push rests before it is sent again, from when it is read; not one that a node parks because it stops
    /// or gives its partition away. One that is still under way on this node is not sent again,
    /// but goes on. Default: 5s.
    #[serde(default = "TopicSource::retry_after")]
    pub retry_after: HumanDuration,
    /// How long nodes may have a push before it is given up, however often it was parked; it is reported as expired then. Each
    /// node counts by its own clock what it has waited, and adds it to what others have; while a push lies in a topic unread,
    /// nobody counts. If it was never sent, the reason is `push.not_sent`, without effect. Default: 1h.
    #[serde(default = "TopicSource::give_up_after")]
    pub give_up_after: HumanDuration,
    /// How long a push waits for a user who is not connected, before it is settled as offline: counted from when this node
    /// last saw the user, and anew when the node starts and when a push comes from a node that stops. Long enough for clients to
    /// come back to a node that was restarted.
    /// Not with `routing: broadcast`: a user who is not here may be on another node. Default: 5s.
    #[serde(default = "TopicSource::offline_after")]
    pub offline_after: HumanDuration,
    /// What becomes of a push whose client did not acknowledge it in time; `dead_letter` has what is given up too.
    /// Default: report.
    #[serde(default)]
    pub on_expired: OnExpired,
    /// How long a stop waits for pushes under way, before the rest is parked. Partitions that go to another node wait for
    /// `min_hold`, if that is shorter, and not for pushes older than that: no partition of the source is read meanwhile.
    /// Default: 5s, at most 1h.
    #[serde(default = "TopicSource::release_within")]
    pub release_within: HumanDuration,
    /// Records of each partition that this node knows again when they are read again, as after an outage of the broker or
    /// when a partition comes back: those that are settled are neither sent nor reported once more. 16 bytes each; at least
    /// `max_unsettled`. Default: 50000.
    #[serde(default = "TopicSource::remember_settled")]
    pub remember_settled: u32,
    /// How long what is known of a partition, pushes under way included, is kept while another node has it, or none.
    /// Default: 10m.
    #[serde(default = "TopicSource::remember_for")]
    pub remember_for: HumanDuration,
    /// Records read ahead from the broker, in bytes. Default: 8MiB.
    #[serde(default = "TopicSource::read_ahead")]
    pub read_ahead: ByteSize,
}

impl TopicSource {
    /// Well below the day for which a member of a group may go without polling.
    const LONGEST_RELEASE: Duration = Duration::from_secs(3600);

    fn max_unsettled() -> u32 {
        10_000
    }

    fn max_unsettled_bytes() -> ByteSize {
        ByteSize::mib(64)
    }

    fn min_hold() -> HumanDuration {
        Duration::from_secs(1).into()
    }

    fn max_hold() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    fn retry_after() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    fn give_up_after() -> HumanDuration {
        Duration::from_secs(3600).into()
    }

    fn offline_after() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    fn release_within() -> HumanDuration {
        Duration::from_secs(5).into()
    }

    fn remember_settled() -> u32 {
        50_000
    }

    fn remember_for() -> HumanDuration {
        Duration::from_secs(600).into()
    }

    fn read_ahead() -> ByteSize {
        ByteSize::mib(8)
    }

    /// The topic for parked pushes.
    pub(crate) fn park(&self) -> String {
        let default = || format!("{}_parked", self.topic);
        self.park.clone().unwrap_or_else(default)
    }

    /// The topic for records that are no pushes.
    pub(crate) fn dead_letter(&self) -> String {
        let default = || format!("{}_dead", self.topic);
        self.dead_letter.clone().unwrap_or_else(default)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        for (key, text) in [("topic", &self.topic), ("group", &self.group)] {
            if text.is_empty() {
                problems.at(key, format!("a {key} has a name"));
            }
        }
        let (park, dead) = (self.park(), self.dead_letter());
        for (key, clashes) in [
            ("park", park == self.topic),
            ("dead_letter", dead == self.topic || dead == park),
        ] {
            if clashes {
                problems
                    .at(key, "pushes would go round in circles")
                    .hint("give each topic a name of its own");
            }
        }
        at_least_one("max_unsettled", self.max_unsettled, problems);
        for (key, size) in [
            ("max_unsettled_bytes", self.max_unsettled_bytes),
            ("read_ahead", self.read_ahead),
        ] {
            if size.bytes() == 0 {
                problems
                    .at(key, "0 would let nothing through")
                    .hint("write a size such as `8MiB`");
            }
        }
        for (key, time) in [
            ("max_hold", self.max_hold),
            ("retry_after", self.retry_after),
            ("give_up_after", self.give_up_after),
            ("release_within", self.release_within),
        ] {
            if time.is_zero() {
                problems
                    .at(key, "this has to be longer than 0s")
                    .hint("write a duration such as `5s`");
            }
        }
        if *self.release_within > Self::LONGEST_RELEASE {
            problems
                .at(
                    "release_within",
                    format!("{} is longer than 1h", self.release_within),
                )
                .hint("nobody reads a partition meanwhile; some seconds are usual");
        }
        if *self.min_hold > *self.max_hold {
            let what = format!(
                "{} is longer than `max_hold`, {}",
                self.min_hold, self.max_hold
            );
            problems
                .at("min_hold", what)
                .hint("lower `min_hold`, or raise `max_hold`");
        }
    }
}
