//! Scripts that Redis runs, by their hashes: a server that does not know one is told its text.

use std::sync::OnceLock;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

/// A script on one key.
pub(super) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

/// How a script is named.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// By its hash.
    Hash,
    /// By its text, which the server then knows.
    Text,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: OnceLock::new(),
        }
    }

    /// The command that runs it on this key; its other arguments are to follow.
    pub(super) fn command(&self, by: By, key: &str) -> Cmd {
        let mut command = match by {
            By::Hash => {
                let hash = || redis::Script::new(self.text).get_hash().to_owned();
                let mut command = redis::cmd("EVALSHA");
                command.arg(self.hash.get_or_init(hash));
                command
            }
            By::Text => {
                let mut command = redis::cmd("EVAL");
                command.arg(self.text);
                command
            }
        };
        command.arg(1).arg(key);
        command
    }
}

/// Whether the server does not know a script that was named by its hash.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
