//! What a listener lays down for its links.

use std::time::Duration;

use linkgate_filter::Nacks;

use super::manager::SecondLogin;

/// What a listener lays down for its links.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// What happens when an identity that has a link opens another.
    pub second_login: SecondLogin,
    /// A client silent for this long is gone.
    pub idle: Duration,
    /// A client silent for this long is pinged.
    pub ping: Duration,
    /// A client that takes nothing for this long is closed as slow.
    pub write_stall: Duration,
    /// How long a closed link waits for the client's goodbye.
    pub close: Duration,
    /// What the pushes in a link's mailbox may weigh, in bytes.
    pub push_queue: usize,
    /// What clients get for a NACK.
    pub nacks: Nacks,
}
