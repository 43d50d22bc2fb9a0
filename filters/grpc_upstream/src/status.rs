//! What the end of a try means: the table in the crate's docs, in code.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use linkgate_filter::{Blame, Fault};
use linkgate_grpc::{ConnectError, chain, is_trouble};
use tonic::{Code, Status};

use crate::pushback::{self, Pushback};
use crate::wire::Trace;

/// How a try ended without an answer.
pub(crate) enum Ended {
    /// Its time was up.
    TimedOut,
    /// With a status, of the backend or made up on this side.
    Status(Box<Status>),
    /// There was nowhere to send it.
    NotReached(String),
}

/// A failed try.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What it counts as, for `retry.codes`.
    pub(crate) code: Code,
    /// It certainly never reached the backend.
    pub(crate) unsent: bool,
    /// Its time was up.
    pub(crate) timed_out: bool,
    /// It left, and the connection ended before its answer.
    pub(crate) lost: bool,
    /// The server has said on the connection that it never looked at it: it may go again at once, elsewhere.
    pub(crate) refused: bool,
    pub(crate) pushback: Option<Pushback>,
    /// What the client is told.
    pub(crate) fault: Fault,
    /// What the log is told. From outside: bounded, and never shown to a client.
    pub(crate) message: String,
}

impl Failure {
    /// Whether the endpoint is to blame.
    pub(crate) fn counts_for_breaker(&self) -> bool {
        self.unsent || is_trouble(self.code)
    }

    /// The connection failed: it could not be opened, or was lost. A server that does not trust the gateway's certificate
    /// may let it be opened first.
    pub(crate) fn is_of_connection(&self) -> bool {
        !self.timed_out && (self.unsent || self.lost)
    }
}

/// Makes out what a try has come to.
pub(crate) fn judge(trace: &Trace, ended: Ended) -> Failure {
    let unsent = trace.recall();
    match ended {
        Ended::NotReached(message) => unreachable(message, false),
        Ended::Status(status) if trace.answered() => answered(&status),
        Ended::TimedOut if unsent => unreachable("no connection in time".to_owned(), true),
        Ended::TimedOut => timed_out(),
        Ended::Status(status) => {
            if let Some(http) = trace.http().filter(|http| *http != StatusCode::OK) {
                return by_http(http, &status);
            }
            // Who has answered with headers has looked at it.
            if trace.http().is_none() && is_refused(&status) {
                return Failure {
                    refused: true,
                    ..unreachable(describe(&status), false)
                };
            }
            let late = is_timeout(&status);
            match (unsent, late) {
                (true, late) => unreachable(describe(&status), late),
                (false, true) => timed_out(),
                (false, false) => lost(&status),
            }
        }
    }
}

fn unreachable(message: String, timed_out: bool) -> Failure {
    let fault = Fault::backend("grpc.unreachable")
        .retryable()
        .detail("the backend could not be reached");
    Failure {
        code: Code::Unavailable,
        unsent: true,
        timed_out,
        lost: false,
        refused: false,
        pushback: None,
        fault,
        message: bounded(message),
    }
}

fn timed_out() -> Failure {
    Failure {
        timed_out: true,
        ..of(Code::DeadlineExceeded, "no answer in time".to_owned())
    }
}

/// The message had left, and no status came back.
fn lost(status: &Status) -> Failure {
    // A status without a source was made of the answer itself: there is one, but it cannot be read.
    let lost = status.source().is_some();
    let code = if lost {
        Code::Unavailable
    } else {
        Code::Internal
    };
    Failure {
        lost,
        ..of(code, describe(status))
    }
}

/// Something between here and the backend has answered, in HTTP alone: a proxy, or a server that speaks no gRPC.
fn by_http(http: StatusCode, status: &Status) -> Failure {
    let message = format!("HTTP status {http}: {}", describe(status));
    let refused = |blame, retryable| {
        let fault = Fault {
            blame,
            ..Fault::backend("grpc.refused_by_proxy")
                .detail("what stands before the backend refused the message")
        };
        Failure {
            fault: if retryable { fault.retryable() } else { fault },
            ..of(Code::Unavailable, message.clone())
        }
    };
    match http.as_u16() {
        408 | 429 => refused(Blame::Backend, true),
        413 => too_large(message),
        400..=499 => Failure {
            pushback: Some(Pushback::Never),
            ..refused(Blame::Gateway, false)
        },
        502..=504 => of(Code::Unavailable, message),
        _ => of(Code::Unknown, message),
    }
}

/// The server has said that it never looked at the message: it refused the stream, or said goodbye and named an earlier
/// one as the last that it looked at. h2 ends other streams of such a connection with other errors.
fn is_refused(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (refused || error.is_go_away());
        }
        source = error.source();
    }
    false
}

/// The code of what is larger than the backend reads.
pub(crate) const TOO_LARGE: &str = "grpc.too_large";

/// The message is larger than the backend reads: no try gets it through.
fn too_large(message: String) -> Failure {
    let fault = Fault {
        blame: Blame::Client,
        ..Fault::backend(TOO_LARGE).detail("the message is larger than the backend reads")
    };
    Failure {
        fault,
        pushback: Some(Pushback::Never),
        ..of(Code::ResourceExhausted, message)
    }
}

/// What a size has to do with a status.
enum Size {
    /// The request was too large to be read.
    Request,
    /// The answer was too large to be sent: the message has been worked on.
    Answer,
}

/// gRPC has no status for sizes: libraries write RESOURCE_EXHAUSTED, tonic OUT_OF_RANGE, and these words.
fn of_size(status: &Status) -> Option<Size> {
    const REQUEST: [&str; 7] = [
        // grpc-go, C-core (C++, Python, Ruby, PHP), grpc-js
        "received message larger than max",
        "received message after decompression larger than max",
        // grpc-java, and Kotlin
        "grpc message exceeds maximum size",
        // .NET
        "received message exceeds the maximum configured message size",
        // connect-go
        "is larger than configured max",
        // tonic
        "decoded message length too large",
        "exceeded while decompressing message",
    ];
    const ANSWER: [&str; 4] = [
        "send message larger than max",
        "sent message larger than max",
        "sending message exceeds the maximum configured message size",
        "encoded message length too large",
    ];
    if !matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange) {
        return None;
    }
    let text = status.message().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if has(&ANSWER) {
        Some(Size::Answer)
    } else {
        has(&REQUEST).then_some(Size::Request)
    }
}

fn answered(status: &Status) -> Failure {
    match of_size(status) {
        Some(Size::Request) => return too_large(describe(status)),
        Some(Size::Answer) => {
            let failure = of(Code::Internal, describe(status));
            return Failure {
                pushback: Some(Pushback::Never),
                ..failure
            };
        }
        None => {}
    }
    let mut failure = of(status.code(), describe(status));
    failure.pushback = pushback::of(status);
    failure
}

/// A failure by the table.
fn of(code: Code, message: String) -> Failure {
    let fault = Fault {
        blame: blame(code),
        ..Fault::backend(name(code)).detail(detail(code))
    };
    let fault = if is_retryable(code) {
        fault.retryable()
    } else {
        fault
    };
    let fault = if is_refusal(code) {
        fault
    } else {
        fault.effect_unknown()
    };
    Failure {
        code,
        unsent: false,
        timed_out: false,
        lost: false,
        refused: false,
        pushback: None,
        fault,
        message: bounded(message),
    }
}

/// The backend says that it did nothing.
fn is_refusal(code: Code) -> bool {
    matches!(blame(code), Blame::Client | Blame::Gateway)
        || matches!(
            code,
            Code::ResourceExhausted | Code::Aborted | Code::Unimplemented
        )
}

fn is_retryable(code: Code) -> bool {
    is_trouble(code) && code != Code::DataLoss
        || matches!(
            code,
            Code::Cancelled | Code::ResourceExhausted | Code::Aborted
        )
}

fn blame(code: Code) -> Blame {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange => Blame::Client,
        // The backend does not trust the gateway; the client cannot help it.
        Code::Unauthenticated => Blame::Gateway,
        _ => Blame::Backend,
    }
}

fn detail(code: Code) -> &'static str {
    match blame(code) {
        Blame::Client => "the backend refused the message",
        Blame::Gateway => "the backend refused the gateway",
        Blame::Backend => match code {
            Code::DeadlineExceeded => "the backend did not answer in time",
            Code::ResourceExhausted => "the backend has too much to do",
            _ => "the backend failed",
        },
    }
}

/// The codes that the statuses of a backend become.
pub(crate) const CODES: &[&str] = &[
    "grpc.cancelled",
    "grpc.unknown",
    "grpc.invalid_argument",
    "grpc.deadline_exceeded",
    "grpc.not_found",
    "grpc.already_exists",
    "grpc.permission_denied",
    "grpc.resource_exhausted",
    "grpc.failed_precondition",
    "grpc.aborted",
    "grpc.out_of_range",
    "grpc.unimplemented",
    "grpc.internal",
    "grpc.unavailable",
    "grpc.data_loss",
    "grpc.unauthenticated",
    TOO_LARGE,
    "grpc.refused_by_proxy",
];

/// The fault code: `grpc.` and the status code in lower case.
fn name(code: Code) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        // OK without an answer that can be read.
        Code::Ok | Code::Internal => "grpc.internal",
        Code::Cancelled => "grpc.cancelled",
        Code::Unknown => "grpc.unknown",
        Code::InvalidArgument => "grpc.invalid_argument",
        Code::DeadlineExceeded => "grpc.deadline_exceeded",
        Code::NotFound => "grpc.not_found",
        Code::AlreadyExists => "grpc.already_exists",
        Code::PermissionDenied => "grpc.permission_denied",
        Code::ResourceExhausted => "grpc.resource_exhausted",
        Code::FailedPrecondition => "grpc.failed_precondition",
        Code::Aborted => "grpc.aborted",
        Code::OutOfRange => "grpc.out_of_range",
        Code::Unimplemented => "grpc.unimplemented",
        Code::Unavailable => "grpc.unavailable",
        Code::DataLoss => "grpc.data_loss",
        Code::Unauthenticated => "grpc.unauthenticated",
    })
}

/// No endpoint may be tried before `wait` has passed.
pub(crate) fn breaker_open(wait: Duration) -> Failure {
    let fault = Fault::backend("grpc.breaker_open")
        .retry_after(wait)
        .detail("the backend is failing and is given time to recover");
    Failure {
        fault,
        ..unreachable("every endpoint's breaker is open".to_owned(), false)
    }
}

/// No endpoint had room within the deadline.
pub(crate) fn overloaded() -> Failure {
    Failure {
        fault: crate::shared::overloaded(),
        ..unreachable(
            "the endpoints have as many calls as they can bear".to_owned(),
            false,
        )
    }
}

fn is_timeout(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if matches!(error.downcast_ref(), Some(ConnectError::Late)) {
            return true;
        }
        source = error.source();
    }
    false
}

fn describe(status: &Status) -> String {
    match status.source() {
        Some(source) => chain(source),
        None => status.message().to_owned(),
    }
}

fn bounded(mut message: String) -> String {
    const LONGEST: usize = 300;
    if message.len() > LONGEST {
        let mut end = LONGEST;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests;
