//! The nastiest ways of messages and outcomes through the chain runner, one by one.

#![allow(missing_docs, clippy::unwrap_used)]

mod bounds;
mod change_over;
#[path = "../common/mod.rs"]
mod common;
mod gone;
mod order;
mod panics;
mod refusals;
mod reloads;
mod timers;
mod trunk;

use std::time::Duration;

use linkgate_filter::testkit::Pushed;

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWERED: &str =
    "[{ use: codec }, { id: ack, use: track, config: { answer: true } }, { use: test_end }]";

fn outcome(pushed: &Pushed) -> String {
    pushed
        .outcome()
        .map_or("none".to_owned(), |outcome| common::says(&outcome))
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}
