use std::collections::BTreeSet;

use linkgate_filter::Registry;
use linkgate_filter::runner::{Declared, Plan};
use linkgate_filter::testkit::{Answers, Decoded, End, parse};

use crate::Dedup;

fn problems(config: &str) -> Vec<String> {
    let registry = Registry::new()
        .with::<Dedup>()
        .with::<Decoded>()
        .with::<Answers>()
        .with::<End>();
    let declared = Declared {
        stores: BTreeSet::from(["main".to_owned()]),
        ..Declared::default()
    };
    let entries = parse(&format!(
        "[{{ use: test_decoded }}, {{ use: test_answers }}, {{ use: dedup, config: {{ {config} }} }}, {{ use: test_end }}]"
    ));
    let prepared = Plan::prepare(&registry, "chat", &entries, &declared);
    let problems = prepared.err().unwrap_or_default();
    problems
        .iter()
        .map(|p| p.problem.path.to_string())
        .collect()
}

#[test]
fn a_store_is_enough_and_has_to_be_there() {
    assert!(problems("store: main").is_empty());
    assert_eq!(problems("store: mian"), ["config.store"]);
}

#[test]
fn what_makes_no_sense_is_refused_all_at_once() {
    let config = "store: main, remember_for: 0s, reserve_for: 2h, confirm_within: 0s, max_answer: 2MiB, \
                  max_waiting: 1001, replayable: [{}, { key_prefix: '' }, { field: type, equals: x }, { field: /a }]";
    assert_eq!(
        problems(config),
        [
            "config.remember_for",
            "config.reserve_for",
            "config.confirm_within",
            "config.remember_for",
            "config.max_answer",
            "config.max_waiting",
            "config.replayable[0]",
            "config.replayable[1].key_prefix",
            "config.replayable[2].field",
            "config.replayable[3]",
        ]
    );
}
