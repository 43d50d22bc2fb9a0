use linkgate_filter::Effect;

use super::*;

/// A trace of a message that has left, with or without an answer.
fn sent(answered: bool) -> Trace {
    let trace = Trace::default();
    trace.mark_sent(answered);
    trace
}

fn status(code: Code) -> Ended {
    Ended::Status(Box::new(Status::new(code, "secret inside")))
}

#[test]
fn what_never_left_has_no_effect_whatever_the_code() {
    for code in [Code::Cancelled, Code::Unknown, Code::InvalidArgument] {
        let failure = judge(&Trace::default(), status(code));
        assert_eq!(failure.fault.code, "grpc.unreachable");
        assert_eq!(failure.fault.effect, Effect::None);
        assert!(failure.fault.retry_after.is_some());
        assert!(failure.unsent && failure.is_of_connection());
    }
    let late = judge(&Trace::default(), Ended::TimedOut);
    assert_eq!(late.fault.effect, Effect::None);
    assert!(late.unsent && late.timed_out && !late.is_of_connection());
}

#[test]
fn what_left_without_an_answer_may_have_had_an_effect_whatever_the_code() {
    for code in [Code::InvalidArgument, Code::OutOfRange, Code::Internal] {
        let failure = judge(&sent(false), status(code));
        assert_eq!(failure.fault.effect, Effect::Unknown, "{code:?}");
        assert!(failure.counts_for_breaker());
    }
    let late = judge(&sent(false), Ended::TimedOut);
    assert_eq!(late.fault.code, "grpc.deadline_exceeded");
    assert_eq!(late.fault.effect, Effect::Unknown);
}

#[test]
fn an_answer_means_what_the_table_says() {
    use {Blame::*, Effect::*};
    let rows = [
        (Code::Cancelled, Backend, Unknown, true),
        (Code::Unknown, Backend, Unknown, true),
        (Code::InvalidArgument, Client, None, false),
        (Code::DeadlineExceeded, Backend, Unknown, true),
        (Code::NotFound, Client, None, false),
        (Code::AlreadyExists, Client, None, false),
        (Code::PermissionDenied, Client, None, false),
        (Code::ResourceExhausted, Backend, None, true),
        (Code::FailedPrecondition, Client, None, false),
        (Code::Aborted, Backend, None, true),
        (Code::OutOfRange, Client, None, false),
        (Code::Unimplemented, Backend, None, false),
        (Code::Internal, Backend, Unknown, true),
        (Code::Unavailable, Backend, Unknown, true),
        (Code::DataLoss, Backend, Unknown, false),
        (Code::Unauthenticated, Gateway, None, false),
    ];
    for (code, blame, effect, retryable) in rows {
        let fault = judge(&sent(true), status(code)).fault;
        assert_eq!(fault.blame, blame, "{code:?}");
        assert_eq!(fault.effect, effect, "{code:?}");
        assert_eq!(fault.retry_after.is_some(), retryable, "{code:?}");
        assert!(!fault.detail.contains("secret"), "{code:?}");
    }
}

#[test]
fn a_long_message_is_cut_for_the_log() {
    let long = Status::unknown("ü".repeat(1000));
    let failure = judge(&sent(true), Ended::Status(Box::new(long)));
    assert!(failure.message.len() <= 304);
}

#[test]
fn what_is_too_large_is_never_retried_whatever_the_library_calls_it() {
    use Code::{OutOfRange, ResourceExhausted};
    let requests = [
        (
            ResourceExhausted,
            "grpc: received message larger than max (5242900 vs. 4194304)",
        ),
        (
            ResourceExhausted,
            "SERVER: Received message larger than max (5242900 vs. 4194304)",
        ),
        (
            ResourceExhausted,
            "gRPC message exceeds maximum size 4194304: 5242900",
        ),
        (
            ResourceExhausted,
            "Decompressed gRPC message exceeds maximum size 4194304",
        ),
        (
            ResourceExhausted,
            "Received message exceeds the maximum configured message size.",
        ),
        (
            ResourceExhausted,
            "message size 5242900 is larger than configured max 4194304",
        ),
        (
            OutOfRange,
            "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
        ),
    ];
    for (code, words) in requests {
        let failure = judge(
            &sent(true),
            Ended::Status(Box::new(Status::new(code, words))),
        );
        assert_eq!(failure.fault.code, "grpc.too_large", "{words}");
        assert_eq!(failure.fault.blame, Blame::Client);
        assert_eq!(failure.fault.effect, Effect::None);
        assert_eq!(failure.pushback, Some(Pushback::Never));
        assert!(!failure.counts_for_breaker());
    }
    let answers = [
        (
            ResourceExhausted,
            "trying to send message larger than max (5242900 vs. 4194304)",
        ),
        (
            ResourceExhausted,
            "Sent message larger than max (5242900 vs. 4194304)",
        ),
        (
            OutOfRange,
            "Error, encoded message length too large: found 9 bytes, the limit is: 8 bytes",
        ),
    ];
    for (code, words) in answers {
        let failure = judge(
            &sent(true),
            Ended::Status(Box::new(Status::new(code, words))),
        );
        assert_eq!(
            failure.fault.effect,
            Effect::Unknown,
            "{words}: the message was worked on"
        );
        assert_eq!(failure.pushback, Some(Pushback::Never));
    }
    let quota = judge(&sent(true), status(ResourceExhausted));
    assert_eq!(quota.fault.code, "grpc.resource_exhausted");
    assert!(quota.fault.retry_after.is_some());
}

#[test]
fn what_a_proxy_says_in_http_alone_is_told_from_an_answer() {
    use Effect::{None, Unknown};
    let rows = [
        (400, "grpc.refused_by_proxy", None, false),
        (401, "grpc.refused_by_proxy", None, false),
        (403, "grpc.refused_by_proxy", None, false),
        (404, "grpc.refused_by_proxy", None, false),
        (408, "grpc.refused_by_proxy", None, true),
        (413, "grpc.too_large", None, false),
        (429, "grpc.refused_by_proxy", None, true),
        (500, "grpc.unknown", Unknown, true),
        (502, "grpc.unavailable", Unknown, true),
        (503, "grpc.unavailable", Unknown, true),
        (504, "grpc.unavailable", Unknown, true),
    ];
    for (http, code, effect, retryable) in rows {
        let trace = sent(false);
        trace.mark_http(http);
        let fault = judge(&trace, status(Code::Unknown)).fault;
        assert_eq!((&*fault.code, fault.effect), (code, effect), "{http}");
        assert_eq!(fault.retry_after.is_some(), retryable, "{http}");
    }
}
