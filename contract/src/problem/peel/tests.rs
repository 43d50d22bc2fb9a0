use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::units::{HumanDuration, Rate};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    port: u16,
    retry: Retry,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    on_excess: Mode,
    #[serde(default)]
    named: BTreeMap<String, Kind>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Retry {
    initial: HumanDuration,
    rate: Rate,
    #[serde(default)]
    jitter: Option<bool>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Target {
    host: String,
    weight: u8,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Answer,
    HoldBack,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Grpc(Target),
}

fn problems(yaml: &str) -> Vec<String> {
    let value: Value = serde_yaml::from_str(yaml).unwrap();
    match deserialize::<Config>(&value) {
        Ok(config) => panic!("no problem in {config:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

const GOOD: &str = "name: a\nport: 1\nretry: { initial: 1s, rate: 1/s }\n";

#[test]
fn a_good_value_is_read() {
    let yaml =
        format!("{GOOD}on_excess: hold_back\nnamed: {{ x: {{ grpc: {{ host: h, weight: 1 }} }} }}");
    let config: Config = deserialize(&serde_yaml::from_str(&yaml).unwrap()).unwrap();
    assert_eq!(config.on_excess, Mode::HoldBack);
    assert_eq!(config.named.len(), 1);
}

#[test]
fn every_problem_is_found_at_its_place() {
    let found = problems(
        "
name: 5
port: 70000
retry: { intial: 1s, rate: fast, jitter: maybe }
targets:
  - { host: a, weight: 1 }
  - { host: b, weight: heavy }
  - { host: c, weight: 2, colour: red }
  - 7
  - { host: d }
on_excess: hold_bak
named:
  x: { grcp: {} }
  y: { grpc: { host: [], weight: 1 } }
surplus: 1
",
    );
    let expected = [
        "name: expected text, found the number `5` (quote it to make it text)",
        "named.x.grcp: unknown kind `grcp` (did you mean `grpc`?)",
        "named.y.grpc.host: expected text, found a list",
        "on_excess: unknown value `hold_bak` (did you mean `hold_back`?)",
        "port: expected a whole number from 0 to 65535, found the number `70000`",
        "retry.intial: unknown key `intial` (did you mean `initial`?)",
        "retry.jitter: expected `true` or `false`, found the text \"maybe\"",
        "retry.rate: `fast` does not say per which time (write a rate such as `50/s`, `1.5/s`, `100/m` or `10/h`)",
        "surplus: unknown key `surplus` (keys understood here: `name`, `port`, `retry`, `targets`, `on_excess`, `named`)",
        "targets[1].weight: expected a whole number from 0 to 255, found the text \"heavy\"",
        "targets[2].colour: unknown key `colour` (keys understood here: `host`, `weight`)",
        "targets[3]: expected a mapping, found the number `7` (write `key: value` lines below the key)",
        "targets[4]: `weight` is missing (add `weight: ...`)",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_key_is_pointed_at_even_if_its_parent_has_the_same_name() {
    let yaml = "name: a\nport: 1\nretry: { initial: 1s, rate: 1/s, retry: 1 }";
    assert!(problems(yaml)[0].starts_with("retry.retry: unknown key `retry`"));
}

#[test]
fn an_enum_is_one_name_or_one_key() {
    let with = |value: &str| problems(&format!("{GOOD}named: {{ a: {value} }}"));
    assert_eq!(
        with("7"),
        ["named.a: expected one name, or a mapping with one key, found the number `7`"]
    );
    assert_eq!(
        with("{ grpc: {}, x: 1 }"),
        ["named.a: expected a mapping with one key, found 2 keys"]
    );
    assert_eq!(
        with("grpc"),
        [
            "named.a: this name alone says too little (write it as a key, with its settings below it: `name: { ... }`)"
        ]
    );
}

#[test]
fn all_missing_keys_are_found() {
    assert_eq!(
        problems("retry: {}"),
        [
            "retry: `initial` is missing (add `initial: ...`)",
            "retry: `rate` is missing (add `rate: ...`)",
            "`name` is missing (add `name: ...`)",
            "`port` is missing (add `port: ...`)",
        ]
    );
    assert_eq!(problems("").len(), 3);
}

#[test]
fn a_wrong_root_is_one_problem() {
    assert_eq!(
        problems("[1]"),
        ["expected a mapping, found a list (write `key: value` lines, without `- ` in front)"]
    );
    assert_eq!(
        problems("text"),
        ["expected a mapping, found the text \"text\" (write `key: value` lines below the key)"]
    );
}

#[test]
fn endless_problems_end() {
    let targets = "  - wrong\n".repeat(500);
    assert_eq!(problems(&format!("{GOOD}targets:\n{targets}")).len(), MOST);
}

mod any_value {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| Value::Number(n.into())),
            prop_oneof![Just("x".to_owned()), Just("1s".to_owned()), ".{0,3}"]
                .prop_map(Value::String),
        ];
        let key = prop_oneof![
            Just("name"),
            Just("port"),
            Just("retry"),
            Just("targets"),
            Just("on_excess"),
            Just("named"),
            Just("host"),
            Just("weight"),
            Just("grpc"),
            Just("initial"),
            Just("x")
        ];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|map| {
                    Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn is_read_or_has_distinct_problems_at_places_it_has(value in value()) {
            let Err(problems) = deserialize::<Config>(&value) else { return Ok(()) };
            prop_assert!(!problems.is_empty());
            for (i, problem) in problems.iter().enumerate() {
                let mut value = value.clone();
                let known = problem.path.is_root() || find(&mut value, &problem.path).is_some();
                prop_assert!(known, "no such place: {}", problem);
                prop_assert!(problems.iter().skip(i + 1).all(|other| other != problem));
            }
        }
    }
}
