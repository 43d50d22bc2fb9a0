//! What can go wrong with etcd, for the one who can mend it. No error holds a password or a value.

use std::path::PathBuf;
use std::time::Duration;

use etcd_client::Error;
use tonic::Code;

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No member takes the call.
    #[error(
        "etcd at {endpoints} cannot be reached: {why}; check that it runs there, and what `endpoints` and `tls` say"
    )]
    Unreachable {
        /// All of them.
        endpoints: String,
        /// What the last one did.
        why: String,
    },
    /// No answer in time.
    #[error(
        "etcd at {endpoints} did not answer within {limit:?}; check that a majority of its members runs, or raise \
         `timeout`"
    )]
    TimedOut {
        /// All of them.
        endpoints: String,
        /// The time for the whole operation.
        limit: Duration,
    },
    /// Who we are, or what we may.
    #[error(
        "etcd refuses {who}: {why}; check `user` and `password`, and that the role of this user may read and write keys \
         that begin with {prefix}/"
    )]
    Refused {
        /// The user.
        who: String,
        /// As etcd says it.
        why: String,
        /// Where; the last slash is left out.
        prefix: String,
    },
    /// A file of `tls`.
    #[error("cannot read {path}, which `tls` names: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// More than may be.
    #[error(
        "below {from} there are more than {keys} keys or {mib} MiB; remove what does not belong there"
    )]
    TooMuch {
        /// Where.
        from: String,
        /// How many keys may be there.
        keys: usize,
        /// What their values may weigh.
        mib: usize,
    },
    /// Anything else that etcd says.
    #[error("etcd at {endpoints} says: {why}")]
    Failed {
        /// All of them.
        endpoints: String,
        /// As etcd says it.
        why: String,
    },
}

/// What an error of the client means for whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another member, or the same one a little later, may do better.
    Retry,
    /// Who we are, or what we may.
    Refused,
    /// The revision is not kept any more.
    Compacted,
    /// The revision is still to come.
    Future,
    /// The answer is larger than what is taken.
    TooLarge,
    /// The call is wrong, or etcd cannot.
    Failed,
}

pub(super) fn meaning(error: &Error) -> Meaning {
    let status = match error {
        Error::GRpcStatus(status) => status,
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => {
            return Meaning::Failed;
        }
        _ => return Meaning::Retry,
    };
    let said = status.message();
    let says = |what: &str| said.contains(what);
    match status.code() {
        // The user store has changed; a new login helps.
        Code::InvalidArgument if says("revision of auth store is old") => Meaning::Retry,
        Code::InvalidArgument if says("authentication failed") || says("user name") => {
            Meaning::Refused
        }
        Code::PermissionDenied | Code::Unauthenticated => Meaning::Refused,
        Code::FailedPrecondition if says("authentication is not enabled") => Meaning::Refused,
        Code::OutOfRange if says("compacted") => Meaning::Compacted,
        Code::OutOfRange if says("future revision") => Meaning::Future,
        Code::OutOfRange => Meaning::TooLarge,
        Code::ResourceExhausted if says("too many requests") => Meaning::Retry,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => {
            Meaning::Retry
        }
        // Said by the transport, unless etcd says it.
        Code::Unknown | Code::Internal if !says("etcdserver") => Meaning::Retry,
        _ => Meaning::Failed,
    }
}

/// Whether the call never reached a member: no connection could be opened.
pub(super) fn is_unsent(error: &Error) -> bool {
    let Error::GRpcStatus(status) = error else {
        return false;
    };
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What an error of the client says, with its causes.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => {
            let source = std::error::Error::source(status);
            let causes = source.map(linkgate_grpc::chain).unwrap_or_default();
            match status.message() {
                message if causes.is_empty() || causes.contains(message) && !message.is_empty() => {
                    if causes.is_empty() {
                        message.to_owned()
                    } else {
                        causes
                    }
                }
                "" => causes,
                message => format!("{message}: {causes}"),
            }
        }
        Error::TransportError(error) => linkgate_grpc::chain(error),
        error => error.to_string(),
    }
}
