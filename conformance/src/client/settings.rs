//! The times that a driver gives the client under test.

use std::time::Duration;

/// How long a client under test waits for an answer before it sends a message again; first.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
/// The limit of its first wait before it connects again.
pub(super) const BACKOFF: Duration = Duration::from_millis(20);
/// Between its heartbeats.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(300);
/// How long it waits for a heartbeat to come back.
pub(super) const ECHO: Duration = Duration::from_millis(300);
