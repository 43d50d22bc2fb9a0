//! What of the values in a step makes sense.

use linkgate_filter::problem::{Path, Problems, nearest};
use linkgate_proto::v1;

use super::docs;
use super::text::bytes;

/// How often something can be done or seen in a step.
const MOST_TIMES: u32 = 100_000;

/// A message that a client is to send.
pub(super) fn message(message: &docs::Message) -> Result<(), Problems> {
    if let Some(cmd) = &message.cmd {
        command(cmd)?;
    }
    body(&message.key)?;
    body(&message.body)?;
    times(message.times)
}

/// Bytes.
pub(super) fn body(body: &docs::Body) -> Result<(), Problems> {
    bytes(body).map(drop).map_err(wrong)
}

/// A command. A number is sent as it is, as clients of other versions do.
pub(super) fn command(cmd: &str) -> Result<(), Problems> {
    if cmd.parse::<i32>().is_ok() || v1::Command::from_str_name(cmd).is_some() {
        return Ok(());
    }
    let known = (1..=8).filter_map(|n| v1::Command::try_from(n).ok());
    let known: Vec<&str> = known.map(|command| command.as_str_name()).collect();
    let mut problems = Problems::new();
    let problem = problems.at("cmd", format!("there is no command `{cmd}`"));
    problem.hint(match nearest(cmd, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it is one of {}", known.join(", ")),
    });
    Err(problems)
}

/// How often.
pub(super) fn times(times: Option<u32>) -> Result<(), Problems> {
    match times {
        Some(0) => Err(wrong("0 times is never".to_owned())),
        Some(times) if times > MOST_TIMES => {
            Err(wrong(format!("{times} times is more than {MOST_TIMES}")))
        }
        _ => Ok(()),
    }
}

fn wrong(why: String) -> Problems {
    let mut problems = Problems::new();
    problems.at(Path::root(), why);
    problems
}

/// Whether there is a failure of this name.
pub(super) fn failure(name: &str, of_broker: bool) -> Result<(), Problems> {
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
