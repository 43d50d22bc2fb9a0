//! What whoever runs a sample backend hears of it.

use std::fmt;
use std::sync::Arc;

use linkgate_proto::v1::{OnReceiveRequest, PresenceEvent, PushReport};
use tonic::Status;

/// Something that happened in the backend.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// A message came in; `Err` if it is answered with a failure.
    Message(&'a OnReceiveRequest, Result<(), &'a Status>),
    /// The gateway reports what became of a push from a topic.
    Report(&'a PushReport),
    /// A user came or went.
    Presence(&'a PresenceEvent),
    /// A push to a user ended.
    Pushed {
        /// The push's key.
        key: &'a str,
        /// The user.
        to: &'a str,
        /// In one word.
        state: &'a str,
    },
}

/// Hears what happens in a backend. Called on the backend's tasks: it should not take long.
#[derive(Clone)]
pub(crate) struct Watch(Arc<dyn Fn(Seen<'_>) + Send + Sync>);

impl Watch {
    /// Hears by calling `f`.
    pub(crate) fn new(f: impl Fn(Seen<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    pub(super) fn see(&self, seen: Seen<'_>) {
        (self.0)(seen);
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
