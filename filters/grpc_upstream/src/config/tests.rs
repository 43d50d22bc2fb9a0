use std::collections::BTreeMap;

use linkgate_filter::backend::Backends;
use linkgate_filter::runner::Declared;
use linkgate_filter::{FilterType, Prepare};
use serde_json::json;

use super::*;
use crate::GrpcUpstream;

fn backends(endpoints: &[&str]) -> Backends {
    let backend = json!({ "grpc": { "endpoints": endpoints } });
    BTreeMap::from([("chat".to_owned(), serde_json::from_value(backend).unwrap())])
}

/// The problems of an entry, one per line.
fn problems(config: serde_json::Value, backends: &Backends) -> Vec<String> {
    let config: Config = serde_json::from_value(config).unwrap();
    let declared = Declared::backends(backends.clone());
    let cx = Prepare::new("chat", "out", &declared);
    match GrpcUpstream::prepare(config, &cx) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_name_of_a_backend_is_enough() {
    let config = json!({ "backend": "chat" });
    let none: [String; 0] = [];
    assert_eq!(problems(config, &backends(&["dns:///chat:50051"])), none);
}

#[test]
fn all_problems_come_at_once() {
    let config = json!({
        "backend": "chatt",
        "try_timeout": "5s",
        "retry": { "max_attempts": 0, "initial": "2s", "max": "1s" },
        "retry_budget": { "ratio": -1.0 },
        "breaker": { "failure_ratio": 1.5, "window": "0s", "probes": 0 },
        "max_in_flight": 0,
        "max_in_flight_per_link": 4,
        "trace_sampling": 2.0,
    });
    let found = problems(config, &backends(&["a:1"]));
    let paths: Vec<_> = found
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "breaker.window",
            "try_timeout",
            "retry.max",
            "retry.max_attempts",
            "retry_budget.ratio",
            "breaker.failure_ratio",
            "breaker.probes",
            "max_in_flight",
            "trace_sampling",
            "max_in_flight_per_link",
            "backend",
        ],
        "{found:#?}"
    );
    assert_eq!(
        found.last().unwrap(),
        "backend: there is no backend `chatt` (did you mean `chat`?)"
    );
}

#[test]
fn refusals_are_no_codes_to_retry() {
    let config = json!({ "backend": "chat", "retry": { "codes": ["not_found"] } });
    assert!(serde_json::from_value::<Config>(config).is_err());
}
