//! JUnit's XML. It has no word for a warning: one passes, and its text is what the case printed.

use std::fmt::Write;

use super::{Report, Verdict};

pub(super) fn render(report: &Report) -> String {
    let tally = report.tally();
    let tests: usize = report.suites.iter().map(|suite| suite.results.len()).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites tests=\"{tests}\" failures=\"{}\" skipped=\"{}\">",
        tally.failed, tally.skipped
    );
    for suite in &report.suites {
        let count = |is: fn(&Verdict) -> bool| {
            suite
                .results
                .iter()
                .filter(|outcome| is(&outcome.verdict))
                .count()
        };
        let time: f64 = suite.results.iter().map(|o| o.time.as_secs_f64()).sum();
        let name = escaped(&suite.name);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            suite.results.len(),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        );
        if !report.by.is_empty() {
            let _ = writeln!(out, "    <properties>");
            for (key, value) in &report.by {
                let (key, value) = (escaped(key), escaped(value));
                let _ = writeln!(out, "      <property name=\"{key}\" value=\"{value}\"/>");
            }
            let _ = writeln!(out, "    </properties>");
        }
        for outcome in &suite.results {
            let _ = write!(
                out,
                "    <testcase classname=\"{name}\" name=\"{}\" time=\"{:.3}\"",
                escaped(&outcome.name),
                outcome.time.as_secs_f64()
            );
            let text = escaped(outcome.verdict.text());
            let first = escaped(outcome.verdict.text().lines().next().unwrap_or_default());
            let _ = match outcome.verdict {
                Verdict::Passed => writeln!(out, "/>"),
                Verdict::Failed(_) => writeln!(
                    out,
                    ">\n      <failure message=\"{first}\">{text}</failure>\n    </testcase>"
                ),
                Verdict::Skipped(_) => {
                    writeln!(
                        out,
                        ">\n      <skipped message=\"{first}\"/>\n    </testcase>"
                    )
                }
                Verdict::Warned(_) => writeln!(
                    out,
                    ">\n      <system-out>{text}</system-out>\n    </testcase>"
                ),
            };
        }
        let _ = writeln!(out, "  </testsuite>");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text as XML 1.0 can hold it: it has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
