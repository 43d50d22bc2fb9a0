//! For people: a tree, and a sum at its end.

use std::fmt::Write;

use super::{Report, Verdict};

/// Columns of a name.
const WIDEST: usize = 120;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";

pub(super) fn render(report: &Report, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour {
            format!("{code}{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    let by: Vec<_> = report.by.iter().map(|(k, v)| format!("{k} {v}")).collect();
    if !by.is_empty() {
        let _ = writeln!(out, "{}", by.join(", "));
    }
    for suite in &report.suites {
        let _ = writeln!(out, "{}", paint(BOLD, &suite.name));
        let wide = suite
            .results
            .iter()
            .map(|o| o.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(WIDEST);
        for (at, outcome) in suite.results.iter().enumerate() {
            let last = at + 1 == suite.results.len();
            let (branch, below) = if last {
                ("└─", "  ")
            } else {
                ("├─", "│ ")
            };
            let word = &format!("{:7}", outcome.verdict.word());
            let word = match outcome.verdict {
                Verdict::Passed => paint(GREEN, word),
                Verdict::Failed(_) => paint(RED, word),
                Verdict::Warned(_) => paint(YELLOW, word),
                Verdict::Skipped(_) => paint(DIM, word),
            };
            let time = paint(DIM, &format!("{:.2}s", outcome.time.as_secs_f64()));
            let line = format!(
                "{branch} {word} {:wide$}  {time}  {}",
                printable(&outcome.name.replace('\n', " ")),
                outcome.about
            );
            let _ = writeln!(out, "{}", line.trim_end());
            for line in outcome.verdict.text().lines() {
                let _ = writeln!(out, "{below}     {}", printable(line));
            }
        }
    }
    let tally = report.tally();
    let mut sum = vec![format!("{} passed", tally.passed)];
    for (count, word) in [
        (tally.failed, "failed"),
        (tally.warned, "warned"),
        (tally.skipped, "skipped"),
    ] {
        if count > 0 {
            sum.push(format!("{count} {word}"));
        }
    }
    let code = if tally.failed > 0 { RED } else { GREEN };
    let _ = writeln!(out, "{}", paint(code, &sum.join(", ")));
    out
}

/// What was judged must not drive the reader's terminal.
fn printable(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
