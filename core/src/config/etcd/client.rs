//! The documents below one prefix of one etcd.

use std::fmt;
use std::sync::Arc;

use super::keys::Keys;
use crate::edges::etcd::{Connection, EtcdSource, Timing};

/// The documents below one prefix of one etcd. Clones share a connection, which opens with the first call.
#[derive(Clone)]
pub struct Etcd {
    pub(super) connection: Arc<Connection>,
    pub(super) keys: Arc<Keys>,
    pub(super) timing: Timing,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etcd({})", self.connection.source())
    }
}

impl fmt::Display for Etcd {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.source().fmt(f)
    }
}

impl Etcd {
    /// The etcd that `source` names, which has to be without problems. Connects with the first call.
    pub fn new(source: EtcdSource) -> Self {
        Self {
            keys: Arc::new(Keys::new(&source.prefix)),
            connection: Arc::new(Connection::new(source)),
            timing: Timing::default(),
        }
    }

    /// The same with another timing.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }
}
