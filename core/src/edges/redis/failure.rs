//! From Redis's errors to ours, and to what an operator is to do about them.

use linkgate_filter::{EdgeError, EdgeFailure};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::edges::words::{Hint, Words};

/// Errors by the word that they begin with. What is not permitted heals by a grant: it is not refused for good.
const KNOWN: &[(&str, EdgeFailure, &str)] = &[
    (
        "NOAUTH",
        EdgeFailure::Unreachable,
        "it wants a password: write it into `url`, or `master_url` behind sentinels",
    ),
    (
        "WRONGPASS",
        EdgeFailure::Unreachable,
        "check the user and the password in `url`",
    ),
    (
        "NOPERM",
        EdgeFailure::Unreachable,
        "grant the user `+eval +evalsha +get +set +del` on these keys, and for a directory also `+hgetall +hget +hset \
         +hsetnx +hdel +pexpire +info +cluster`",
    ),
    (
        "NOREPLICAS",
        EdgeFailure::Unreachable,
        "bring its replicas back, or lower its `min-replicas-to-write`",
    ),
    (
        "MISCONF",
        EdgeFailure::Unreachable,
        "it cannot write to its disk: see its log, and the room on the disk",
    ),
    (
        "READONLY",
        EdgeFailure::Unreachable,
        "it is a replica: name the master, or have `sentinel` find it",
    ),
    (
        "BUSY",
        EdgeFailure::Unreachable,
        "a script of somebody runs for long: `SCRIPT KILL` ends it",
    ),
    (
        "LOADING",
        EdgeFailure::Unreachable,
        "it has just started: wait",
    ),
    (
        "CLUSTERDOWN",
        EdgeFailure::Unreachable,
        "bring the cluster's other nodes back",
    ),
    (
        "MASTERDOWN",
        EdgeFailure::Unreachable,
        "bring its master back",
    ),
    ("TRYAGAIN", EdgeFailure::Unreachable, ""),
    (
        "MOVED",
        EdgeFailure::Unreachable,
        "it is a cluster: name its nodes under `cluster`",
    ),
    ("ASK", EdgeFailure::Unreachable, ""),
    (
        "OOM",
        EdgeFailure::Full,
        "raise its `maxmemory`, or, if it has no directory, have it evict keys that end (`maxmemory-policy: volatile-ttl`)",
    ),
];

fn known(error: &RedisError) -> Option<&'static (&'static str, EdgeFailure, &'static str)> {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return KNOWN.iter().find(|(code, ..)| *code == "WRONGPASS");
    }
    let code = error.code()?;
    if code != "ERR" {
        return KNOWN.iter().find(|(word, ..)| *word == code);
    }
    // What a command within a script has met, by the versions of Redis.
    let text = error.to_string();
    if DENIED.iter().any(|denied| text.contains(denied)) {
        return KNOWN.iter().find(|(word, ..)| *word == "NOPERM");
    }
    let says = |word: &str| text.split([' ', '-', ':']).any(|other| other == word);
    KNOWN.iter().find(|(word, ..)| says(word))
}

/// What older versions say in place of NOPERM when a script meets a missing permission.
const DENIED: &[&str] = &["executing the script can't run", "ACL failure in script"];

/// What an error says of the store.
pub(super) fn failure(error: &RedisError) -> EdgeError {
    let of = |failure| EdgeError::new(failure, hint(error).explain(&error.to_string()));
    if let Some((_, failure, _)) = known(error) {
        return of(*failure);
    }
    if error.is_timeout() {
        return of(EdgeFailure::TimedOut).effect_unknown();
    }
    if error.is_connection_refusal() {
        return of(EdgeFailure::Unreachable);
    }
    match error.kind() {
        ErrorKind::ClusterConnectionNotFound | ErrorKind::MasterNameNotFoundBySentinel => {
            of(EdgeFailure::Unreachable)
        }
        ErrorKind::Io => of(EdgeFailure::Unreachable).effect_unknown(),
        ErrorKind::Server(ServerErrorKind::NoPerm) => of(EdgeFailure::Unreachable),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::InvalidClientConfig => {
            of(EdgeFailure::Refused)
        }
        _ => of(EdgeFailure::Unreachable).effect_unknown(),
    }
}

/// Tells the operator.
pub(super) fn say(log: &Words, error: &RedisError, key: &str) {
    log.say(hint(error), &format!("keys `{}:*`: {error}", prefix(key)));
}

fn hint(error: &RedisError) -> Hint {
    if let Some((kind, _, todo)) = known(error) {
        return Hint { kind, todo };
    }
    if error.is_io_error() {
        let todo = "check `url` of the store, and whether it can be reached from here";
        return Hint {
            kind: "unreachable",
            todo,
        };
    }
    Hint {
        kind: "other",
        todo: "",
    }
}

/// What keys of one kind begin with. Users' keys stand behind it.
fn prefix(key: &str) -> String {
    let parts: Vec<_> = key.split(':').take(2).collect();
    parts.join(":")
}
