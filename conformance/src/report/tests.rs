use super::*;

fn report() -> Report {
    let outcome = |name: &str, verdict| Outcome {
        name: name.into(),
        about: String::new(),
        time: Duration::from_millis(1500),
        verdict,
    };
    Report {
        by: vec![("linkgate".into(), "0.1.0".into())],
        suites: vec![Suite {
            name: "a <suite>".into(),
            results: vec![
                outcome("good", Verdict::Passed),
                outcome(
                    "bad #1",
                    Verdict::Failed("expected: \"x\"\nseen: \u{1b}[2J".into()),
                ),
                outcome("meh", Verdict::Warned("better so".into())),
                outcome("none", Verdict::Skipped("no time".into())),
            ],
        }],
    }
}

#[test]
fn people_see_a_tree_and_a_sum() {
    let text = report().render(Format::Text, false);
    let expected = "linkgate 0.1.0\n\
        a <suite>\n\
        ├─ passed  good    1.50s\n\
        ├─ failed  bad #1  1.50s\n\
        │      expected: \"x\"\n\
        │      seen: \u{fffd}[2J\n\
        ├─ warned  meh     1.50s\n\
        │      better so\n\
        └─ skipped none    1.50s\n       no time\n\
        1 passed, 1 failed, 1 warned, 1 skipped\n";
    assert_eq!(text, expected);
    assert!(
        report()
            .render(Format::Text, true)
            .contains("\x1b[31mfailed \x1b[0m")
    );
}

#[test]
fn programs_see_json() {
    let json: serde_json::Value =
        serde_json::from_str(&report().render(Format::Json, false)).unwrap();
    assert_eq!(json["by"]["linkgate"], "0.1.0");
    assert_eq!((&json["failed"], &json["warned"]), (&1.into(), &1.into()));
    let results = &json["suites"][0]["results"];
    assert_eq!(
        results[0],
        serde_json::json!({ "name": "good", "seconds": 1.5, "verdict": "passed" })
    );
    assert_eq!(results[1]["text"], "expected: \"x\"\nseen: \u{1b}[2J");
}

#[test]
fn junit_is_sound_xml_with_one_failure() {
    let xml = report().render(Format::Junit, false);
    assert!(xml.contains("<testsuite name=\"a &lt;suite&gt;\" tests=\"4\" failures=\"1\" skipped=\"1\" time=\"6.000\">"), "{xml}");
    assert!(xml.contains("<failure message=\"expected: &quot;x&quot;\">expected: &quot;x&quot;\nseen: \u{fffd}[2J</failure>"), "{xml}");
    assert!(xml.contains("<system-out>better so</system-out>"), "{xml}");
    assert!(xml.contains("<skipped message=\"no time\"/>"), "{xml}");
}

#[test]
fn tap_counts_a_warning_as_to_do() {
    let tap = report().render(Format::Tap, false);
    assert!(
        tap.starts_with("TAP version 14\n1..4\n# linkgate 0.1.0\n"),
        "{tap}"
    );
    assert!(
        tap.contains("\nnot ok 2 - a <suite>: bad \\#1\n# expected"),
        "{tap}"
    );
    assert!(
        tap.contains("\nnot ok 3 - a <suite>: meh # TODO better so\n"),
        "{tap}"
    );
    assert!(
        tap.contains("\nok 4 - a <suite>: none # SKIP no time\n"),
        "{tap}"
    );
}
