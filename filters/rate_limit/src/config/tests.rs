use linkgate_filter::problem::deserialize;

use super::*;

fn check(yaml: &str) -> Result<RateLimit, String> {
    let value = serde_yaml::from_str(yaml).expect("a YAML value");
    deserialize::<Config>(&value)
        .and_then(|config| config.check())
        .map_err(|problems| problems.to_string())
}

#[test]
fn one_second_of_the_rate_is_the_burst_that_is_left_out() {
    for (rate, burst) in [
        ("50/s", 50),
        ("60/m", 1),
        ("10/h", 1),
        ("1.5/s", 1),
        ("7/s", 7),
    ] {
        let left_out = check(&format!("rate: {rate}")).unwrap();
        let written = check(&format!("{{ rate: {rate}, burst: {burst} }}")).unwrap();
        assert_eq!(
            format!("{:?}", left_out.quota),
            format!("{:?}", written.quota),
            "{rate}"
        );
    }
}

#[test]
fn nothing_is_held_and_no_link_closed_unless_asked_for() {
    let plain = check("rate: 1/s").unwrap();
    assert_eq!((plain.per, plain.close_after), (Per::Link, None));
    let quota = format!("{:?}", plain.quota);
    assert!(quota.contains("patience: 0"), "{quota}");
    let hold = check("{ rate: 1/s, on_excess: hold }").unwrap();
    let quota = format!("{:?}", hold.quota);
    assert!(quota.contains("patience: 1000000000"), "{quota}");
    let close = check("{ rate: 1/s, on_excess: close }").unwrap();
    assert_eq!(close.close_after.map(|c| c.excesses), Some(1));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    for (yaml, said) in [
        ("{}", "`rate` is missing"),
        ("{ rate: 5/s, burts: 3 }", "burts"),
        ("{ rate: 5/s, per: device }", "device"),
        ("{ rate: 5/s, burst: 0 }", "burst: a burst of 0"),
        ("{ rate: 1/d, burst: 1000 }", "raise `rate`, or lower"),
        ("{ rate: 5/s, max_hold: 1s }", "write `on_excess: hold`"),
        (
            "{ rate: 5/s, on_excess: hold, max_hold: 2m }",
            "2m is longer than 1m",
        ),
        (
            "{ rate: 5/s, on_excess: hold, max_hold: 0s }",
            "holds nothing back",
        ),
        (
            "{ rate: 5/s, on_excess: close, close_after: { excesses: 5 } }",
            "remove `close_after`",
        ),
        (
            "{ rate: 5/s, close_after: { excesses: 0 } }",
            "close_after.excesses: 0",
        ),
        (
            "{ rate: 5/s, close_after: { excesses: 5, within: 0s } }",
            "close_after.within: 0s",
        ),
    ] {
        let problems = check(yaml).map(|_| ()).expect_err(yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let yaml = "{ rate: 5/s, burst: 0, max_hold: 1s, close_after: { excesses: 0 } }";
    let problems = check(yaml).map(|_| ()).unwrap_err();
    for said in ["burst", "max_hold", "close_after"] {
        assert!(problems.contains(said), "{problems}");
    }
}
