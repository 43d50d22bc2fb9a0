use linkgate_filter::problem::Problems;
use linkgate_filter::{Filter, FilterType, Never, Open, Prepare, Properties, Registry};

use super::*;
use crate::config;

/// Ends a pipeline; to forget `key` wants care.
struct End(Option<String>);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Keys {
    key: Option<String>,
    secret: Option<String>,
}

struct Nothing;

impl Filter for Nothing {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}

impl FilterType for End {
    const NAME: &'static str = "end";
    type Config = Keys;
    type Filter = Nothing;

    fn prepare(config: Keys, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self(config.key))
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Nothing {
        Nothing
    }

    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let forgets = self.0.is_some() && next.is_none_or(|next| next.0 != self.0);
        forgets.then(|| "clients have the key".to_owned())
    }
}

fn load(text: &str) -> Config {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let registry = Registry::new().with::<End>();
    config::load(&[file.path().to_owned()], &registry).unwrap_or_else(|e| panic!("{e}"))
}

/// Each difference as `part: what; details; ! risks`.
fn lines(old: &str, new: &str) -> Vec<String> {
    let line = |difference: Difference| {
        let risks = difference.risks.into_iter().map(|risk| format!("! {risk}"));
        let more: Vec<_> = difference.details.into_iter().chain(risks).collect();
        format!(
            "{}: {}; {}",
            difference.part,
            difference.what,
            more.join("; ")
        )
    };
    compare(&load(old), &load(new))
        .into_iter()
        .map(line)
        .collect()
}

const BASE: &str = "schema: 1
listeners: [{ name: public, address: 127.0.0.1:8080, auth: insecure_query }]
pipelines: [{ biz_id: chat, listeners: [public], filters: [{ use: end, config: { key: a, secret: hunter2hunter2 } }] }]
";

#[test]
fn equal_configurations_differ_in_nothing() {
    let other = BASE.replace(
        "{ key: a, secret: hunter2hunter2 }",
        "{ secret: hunter2hunter2, key: a }",
    );
    assert_eq!(lines(BASE, &other), [""; 0]);
}

#[test]
fn filters_are_told_by_id_and_key_and_never_by_what_they_say() {
    let other = BASE
        .replace("hunter2hunter2", "another-secret")
        .replace("key: a", "key: b");
    assert_eq!(
        lines(BASE, &other),
        [
            "pipeline chat: changed; `end`: `key`, `secret`; what it remembers goes on; ! `end`: clients have the key"
        ]
    );
    let renamed = BASE.replace("use: end", "id: last, use: end");
    assert_eq!(
        lines(BASE, &renamed),
        [
            "pipeline chat: changed; `end` is gone, and what it remembered; `last` is new; ! `end`: clients have the key"
        ]
    );
}

#[test]
fn what_comes_goes_and_moves_is_told_with_its_price() {
    let other = BASE
        .replace("8080", "8081")
        .replace("biz_id: chat", "biz_id: shop")
        + "stores: { main: { memory: {} } }\n";
    assert_eq!(
        lines(BASE, &other),
        [
            "listener public: changed; holds for links that open from then on; ! moves from 127.0.0.1:8080 to 127.0.0.1:8081",
            "pipeline chat: gone; ! its links are closed at their listeners' pace",
            "pipeline shop: new; on public",
            "store main: new; ",
        ]
    );
}

#[test]
fn a_trial_is_told_in_percent() {
    let trial = |percent: u32| {
        let rollout = format!(
            "rollout: {{ version: v2, percent: {percent}, override: {{ end: {{ key: b }} }} }}, filters:"
        );
        BASE.replace("filters:", &rollout)
    };
    assert_eq!(
        lines(BASE, &trial(10)),
        ["pipeline chat: changed; `v2` for 10 % of its users"]
    );
    assert_eq!(
        lines(&trial(10), &trial(50)),
        ["pipeline chat: changed; `v2` for 50 % of its users"]
    );
    assert_eq!(
        lines(&trial(50), BASE),
        ["pipeline chat: changed; `v2` is taken back"]
    );
    let other = trial(50).replace("key: b", "key: c");
    assert_eq!(
        lines(&trial(50), &other),
        [
            "pipeline chat: changed; in `v2`, `end`: `key`; what it remembers goes on; ! in `v2`, `end`: clients have the key"
        ]
    );
}
