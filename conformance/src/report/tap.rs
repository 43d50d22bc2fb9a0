//! The Test Anything Protocol, version 14: one flat list, texts as diagnostics below each point.

use std::fmt::Write;

use super::{Report, Verdict};

pub(super) fn render(report: &Report) -> String {
    let total: usize = report.suites.iter().map(|suite| suite.results.len()).sum();
    let mut out = format!("TAP version 14\n1..{total}\n");
    for (key, value) in &report.by {
        let _ = writeln!(out, "# {key} {value}");
    }
    let all = report
        .suites
        .iter()
        .flat_map(|suite| suite.results.iter().map(move |outcome| (suite, outcome)));
    for (at, (suite, outcome)) in all.enumerate() {
        let name = described(&format!("{}: {}", suite.name, outcome.name));
        let text = outcome.verdict.text();
        let first = described(text.lines().next().unwrap_or_default());
        let (ok, directive) = match outcome.verdict {
            Verdict::Passed => ("ok", String::new()),
            Verdict::Failed(_) => ("not ok", String::new()),
            // TAP's own word for a point that is not ok and fails nothing; no note of ours.
            Verdict::Warned(_) => ("not ok", format!(" # TODO {first}")),
            Verdict::Skipped(_) => ("ok", format!(" # SKIP {first}")),
        };
        let _ = writeln!(out, "{ok} {} - {name}{directive}", at + 1);
        if matches!(outcome.verdict, Verdict::Failed(_) | Verdict::Warned(_)) {
            for line in text.lines() {
                let _ = writeln!(out, "# {line}");
            }
        }
    }
    out
}

/// A `#` begins a directive.
fn described(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('#', "\\#")
        .replace(['\n', '\r'], " ")
}
