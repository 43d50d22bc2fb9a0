//! What a `batch` entry may say, and where it may stand.

use linkgate_filter::Registry;
use linkgate_filter::problem::deserialize;
use linkgate_filter::runner::{Declared, Plan};
use linkgate_filter::testkit::{Answers, Decoded, Testkit, parse};

use crate::{Batches, Config};

#[test]
fn what_makes_no_sense_is_refused() {
    for (yaml, said) in [
        ("{ max_messages: 0 }", "max_messages: 0 is not between 1"),
        ("{ max_messages: 10001 }", "is not between 1 and 10000"),
        ("{ max_bytes: 0 }", "max_bytes: 0B is not between 1B"),
        ("{ max_bytes: 65MiB }", "is not between 1B and 64MiB"),
        ("{ max_wait: 2m }", "max_wait: 2m is longer than 1m"),
        ("{ max_in_flight: 0 }", "max_in_flight: 0 is not between 1"),
        ("{ max_in_flight: 1001 }", "is not between 1 and 1000"),
        ("{ ordering: user }", "user"),
        ("{ max_message: 3 }", "max_message"),
    ] {
        let value = serde_yaml::from_str(yaml).unwrap();
        let checked = deserialize::<Config>(&value).and_then(Config::check);
        let problems = checked.expect_err(yaml).to_string();
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
}

#[test]
fn it_stands_behind_the_codec_and_once() {
    let registry = || Registry::new().with::<Answers>().with::<Batches>();
    let refused = |entries: &str| {
        let plan = Plan::prepare(&registry(), "chat", &parse(entries), &Declared::default());
        let problems = plan.err().expect("problems");
        problems[0].problem.message.clone()
    };
    let said = refused("[{ use: batch }, { use: test_answers }]");
    assert!(said.contains("`batch` needs decoded messages"), "{said}");
    let registry = registry().with::<Decoded>();
    let twice = "[{ use: test_decoded }, { id: one, use: batch }, { id: two, use: batch }, { use: test_answers }]";
    let plan = Plan::prepare(
        &registry,
        Testkit::BIZ_ID,
        &parse(twice),
        &Declared::default(),
    );
    let problems = plan.err().expect("problems");
    assert_eq!(
        problems[0].problem.message,
        "`batch` joins links, but `one` before it has joined them"
    );
}
