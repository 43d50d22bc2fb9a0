//! What the config takes, and what it says of the rest.

use linkgate_filter::runner::{Declared, EntryProblem, Plan};
use linkgate_filter::testkit::{End, parse};

use super::{entries, registry};

fn prepare(entries: &str) -> Result<Plan, Vec<EntryProblem>> {
    let registry = registry().with::<End>();
    Plan::prepare(&registry, "chat", &parse(entries), &Declared::default())
}

fn problems(config: &str) -> Vec<String> {
    let problems = prepare(&entries(config)).err().unwrap_or_default();
    problems
        .iter()
        .map(|problem| problem.problem.path.to_string())
        .collect()
}

#[test]
fn nothing_has_to_be_said() {
    assert!(problems("{}").is_empty());
    assert!(problems("{ retry: { initial: 10s, max: 60s, multiplier: 2, jitter: 0.2, max_attempts: 6, total: 10m }, max_unacked: 256, resume_for: 2m }").is_empty());
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let config = "{ max_unacked: 0, max_waiting: 70000, max_bytes: 0, resume_for: 2d, retry: { initial: 5ms, max: 1ms, \
                  multiplier: 0.5, jitter: 1, max_attempts: 0, total: 1ms, budget: { ratio: -1, min_per_second: 0 } } }";
    let expected = [
        "max_unacked",
        "max_waiting",
        "max_bytes",
        "resume_for",
        "retry.initial",
        "retry.max",
        "retry.total",
        "retry.multiplier",
        "retry.jitter",
        "retry.max_attempts",
        "retry.budget.ratio",
        "retry.budget.min_per_second",
    ];
    assert_eq!(
        problems(config),
        expected.map(|path| format!("config.{path}"))
    );
}

#[test]
fn no_number_is_no_factor() {
    assert_eq!(
        problems("{ retry: { multiplier: .nan, jitter: .inf } }").len(),
        2
    );
}

#[test]
fn the_schema_shows_the_defaults() {
    let schema = registry().schema("ack_retry").unwrap();
    let text = schema.as_value().to_string();
    for part in ["\"10s\"", "256", "\"1MiB\"", "\"2m\""] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn it_stands_behind_the_codec() {
    let problems = prepare("[{ use: ack_retry }, { use: test_end }]")
        .err()
        .unwrap();
    let [problem] = problems.try_into().unwrap();
    assert_eq!(
        problem.problem.message,
        "`ack_retry` needs decoded messages"
    );
}
