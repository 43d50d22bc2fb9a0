//! What a listener lays down for its links.

use std::time::Duration;

use linkgate_filter::Nacks;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

/// What happens when an identity that has a link opens another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondLogin {
    /// The new link takes over the session; the old one is closed with 4500 `replaced`.
    #[default]
    Replace,
    /// The new link is closed with 4504 `already_connected`.
    Reject,
    /// Up to this many links side by side, each with a session of its own; the oldest makes room for one more.
    Allow(u32),
}

impl SecondLogin {
    /// As many links of an identity may stand side by side. Of nodes that do not see each other's links, each refuses for
    /// itself.
    pub(super) fn side_by_side(self) -> u32 {
        match self {
            Self::Replace => 1,
            Self::Reject => u32::MAX,
            Self::Allow(most) => most.max(1),
        }
    }
}

/// What a listener lays down for its links.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// What happens when an identity that has a link opens another.
    pub second_login: SecondLogin,
    /// A client silent for this long is gone.
    pub idle: Duration,
    /// A client silent for this long is pinged.
    pub ping: Duration,
    /// A client that does not finish a message for this long is closed.
    pub message: Duration,
    /// A client that takes nothing for this long is closed as slow.
    pub write_stall: Duration,
    /// How long a closed link waits for the client's goodbye.
    pub close: Duration,
    /// Frames that are read of one client per second.
    pub frames_per_second: f64,
    /// Payload bytes that are read of one client per second.
    pub bytes_per_second: f64,
    /// The largest frame that is sent to a client, in bytes, before it is compressed.
    pub max_frame: usize,
    /// What the pushes in a link's mailbox may weigh, in bytes.
    pub push_queue: usize,
    /// What clients get for a NACK.
    pub nacks: Nacks,
}

impl Default for LinkSettings {
    /// What a listener's config says where it says nothing.
    fn default() -> Self {
        Self {
            second_login: SecondLogin::default(),
            idle: Duration::from_secs(60),
            ping: Duration::from_secs(25),
            message: Duration::from_secs(60),
            write_stall: Duration::from_secs(10),
            close: Duration::from_secs(3),
            frames_per_second: 2000.0,
            bytes_per_second: 8.0 * 1024.0 * 1024.0,
            max_frame: 1 << 20,
            push_queue: 256 << 10,
            nacks: Nacks::default(),
        }
    }
}

/// How long a link goes on when its node stops.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// Until then what the client has sent is answered. What has not even been sent on by then is refused.
    pub answers: Instant,
    /// Until then the client is told what has been refused, should a filter take its time over that.
    pub refusals: Instant,
}
