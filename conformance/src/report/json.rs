//! For programs. Fields are only ever added.

use serde_json::{Map, Value, json};

use super::Report;

pub(super) fn render(report: &Report) -> String {
    let tally = report.tally();
    let suites: Vec<_> = report
        .suites
        .iter()
        .map(|suite| {
            let results: Vec<_> = suite
                .results
                .iter()
                .map(|outcome| {
                    let mut result = json!({
                        "name": outcome.name,
                        "seconds": (outcome.time.as_secs_f64() * 1000.0).round() / 1000.0,
                        "verdict": outcome.verdict.word(),
                    });
                    for (field, text) in
                        [("about", &*outcome.about), ("text", outcome.verdict.text())]
                    {
                        if !text.is_empty() {
                            result[field] = text.into();
                        }
                    }
                    result
                })
                .collect();
            json!({ "name": suite.name, "results": results })
        })
        .collect();
    let by: Map<String, Value> = report
        .by
        .iter()
        .map(|(name, version)| (name.clone(), version.as_str().into()))
        .collect();
    let document = json!({
        "by": by,
        "passed": tally.passed,
        "failed": tally.failed,
        "warned": tally.warned,
        "skipped": tally.skipped,
        "suites": suites,
    });
    format!("{document:#}\n")
}
