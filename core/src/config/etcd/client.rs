//! The documents below one prefix of one etcd.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{KvClient, TxnResponse};

use super::connection::{Connection, LARGEST_ANSWER};
use super::error::EtcdError;
use super::keys::Keys;
use super::source::EtcdSource;

/// The documents below one prefix of one etcd. Clones share a connection, which opens with the first call.
#[derive(Clone)]
pub struct Etcd {
    pub(super) connection: Arc<Connection>,
    pub(super) keys: Arc<Keys>,
    pub(super) timing: Timing,
}

/// How often things are done without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// What is known is compared with what is there. Default: 5 min.
    pub audit: Duration,
    /// A watch that says nothing for so long is asked whether it lives. Default: 10 s.
    pub quiet: Duration,
    /// A watch that does not answer this for so long is given up. Default: 5 s.
    pub dead: Duration,
    /// The first pause after a failure; it doubles with each. Default: 0.2 s.
    pub backoff: Duration,
    /// The longest pause after a failure. Default: 10 s.
    pub max_backoff: Duration,
    /// How long the state of a node outlives the node. Full seconds. Default: 30 s.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            audit: Duration::from_secs(300),
            quiet: Duration::from_secs(10),
            dead: Duration::from_secs(5),
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            lease: Duration::from_secs(30),
        }
    }
}

impl Timing {
    /// The pause after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = self.backoff.saturating_mul(factor).min(self.max_backoff);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
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

    pub(super) fn too_much(&self) -> EtcdError {
        EtcdError::TooMuch {
            prefix: self.keys.prefix().to_owned(),
        }
    }
}

/// The key-value part, which takes answers of the size that is bounded here.
pub(super) fn kv(client: &etcd_client::Client) -> KvClient {
    client.kv_client().max_decoding_message_size(LARGEST_ANSWER)
}

/// The revision of a transaction.
pub(super) fn revision(answer: &TxnResponse) -> i64 {
    answer
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision)
}
