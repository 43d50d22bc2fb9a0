//! The names of failures that a case may write.

use linkgate_filter::problem::{Path, Problems, nearest};

/// Whether there is a failure of this name.
pub(super) fn check(name: &str, of_broker: bool) -> Result<(), Problems> {
    let known: &[&str] = match of_broker {
        true => &["unreachable", "timed_out", "full", "refused"],
        false => STATUSES,
    };
    let mut problems = Problems::new();
    if !known.contains(&name) {
        let problem = problems.at(Path::root(), format!("there is no failure `{name}`"));
        problem.hint(match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it is one of {}", known.join(", ")),
        });
    }
    problems.into_result(())
}

/// The statuses of gRPC that are failures.
const STATUSES: &[&str] = &[
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
