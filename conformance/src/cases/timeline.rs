//! A case that failed, as its author reads it: what was stated beside what happened, with what every filter said.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use linkgate_filter::units::HumanDuration;

use super::driver::{Failure, Run};
use super::happened::{Entry, Said, Seen, Stated, What};
use super::language::{Case, Kind};
use super::seen::shortened;
use super::sentences::sentence;

/// Columns of the left side.
const LEFT: usize = 58;
/// Columns of the right side.
const RIGHT: usize = 78;
/// Lines of filters in a row.
const MOST_SAID: usize = 16;
/// Characters of a step or of what was seen.
const LONGEST: usize = 400;

/// The two sides, step by step, up to the one that failed, which has an `x`.
pub fn render(case: &Case, run: &Run, failure: &Failure) -> String {
    let mut shown = String::new();
    row(
        &mut shown,
        &["  stated".to_owned()],
        &["happened".to_owned()],
    );
    let last = failure.step.unwrap_or(case.steps.len());
    let mut from = 0;
    for (number, step) in case.steps.iter().enumerate().take(last + 1) {
        let to = run.marks.get(number).copied().unwrap_or(run.entries.len());
        let mut right = match step.kind {
            Kind::Action(_) => Vec::new(),
            _ => stated_by(number, &run.entries),
        };
        right.extend(happened(&run.entries, from..to));
        from = to;
        cut(&mut right);
        let mark = if number == last { "x " } else { "  " };
        let text = shortened(&step.text, LONGEST);
        row(&mut shown, &wrapped(mark, &text, LEFT), &right);
    }
    if failure.step.is_none() {
        let end = ["x the end of the case".to_owned()];
        let mut right = happened(&run.entries, from..run.entries.len());
        cut(&mut right);
        row(&mut shown, &end, &right);
    }
    shown
}

fn row(shown: &mut String, left: &[String], right: &[String]) {
    for at in 0..left.len().max(right.len()) {
        let left = left.get(at).map_or("", String::as_str);
        let right = right.get(at).map_or("", String::as_str);
        let padding = " ".repeat(LEFT.saturating_sub(left.chars().count()));
        let line = format!("{left}{padding} | {right}");
        // Writing to a text cannot fail.
        let _ = writeln!(shown, "{}", line.trim_end());
    }
}

/// Leaves the first and the last of many lines.
fn cut(lines: &mut Vec<String>) {
    const MOST: usize = 60;
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        let between = format!("         ... {more} lines ...");
        lines.splice(MOST / 2..lines.len() - MOST / 2, [between]);
    }
}

/// What a step has stated.
fn stated_by(number: usize, entries: &[Entry]) -> Vec<String> {
    let stated = entries.iter().filter_map(|entry| match &entry.what {
        What::Seen(seen) if seen.stated == Stated::By(number) => Some((entry.at, seen)),
        _ => None,
    });
    let lines = stated.map(|(at, seen)| line(at, &sentence(seen)));
    lines.flatten().collect()
}

/// What has happened, but for what a step has stated: that is shown beside the step.
fn happened(entries: &[Entry], during: Range<usize>) -> Vec<String> {
    let entries = entries.get(during).unwrap_or_default().iter();
    let mut lines = Vec::new();
    let mut said_in_a_row = 0;
    for entry in entries {
        match &entry.what {
            What::Said(said) => {
                said_in_a_row += 1;
                if said_in_a_row <= MOST_SAID {
                    lines.extend(line(entry.at, &said_line(said)));
                }
            }
            What::Seen(seen) => {
                lines.extend(folded(&mut said_in_a_row));
                lines.extend(
                    seen_line(seen)
                        .into_iter()
                        .flat_map(|text| line(entry.at, &text)),
                );
            }
        }
    }
    lines.extend(folded(&mut said_in_a_row));
    lines
}

/// How much of what filters have said is not shown, if any of it.
fn folded(said_in_a_row: &mut usize) -> Option<String> {
    let more = std::mem::take(said_in_a_row).saturating_sub(MOST_SAID);
    (more > 0).then(|| format!("           ... and {more} more from filters"))
}

fn seen_line(seen: &Seen) -> Option<String> {
    match seen.stated {
        Stated::No => Some(format!("{}   <- not stated", sentence(seen))),
        Stated::Allowed => Some(format!("{}   (allowed)", sentence(seen))),
        Stated::By(_) => None,
    }
}

fn said_line(said: &Said) -> String {
    let who = match said.user_id.is_empty() {
        true => said.biz_id.to_string(),
        false => format!("{}/{}", said.biz_id, said.user_id),
    };
    format!("  {who} {} {}", said.filter, said.text)
}

fn line(at: Duration, text: &str) -> Vec<String> {
    let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let time = HumanDuration::from(Duration::from_millis(ms)).to_string();
    wrapped(&format!("{time:<8} "), &shortened(text, LONGEST), RIGHT)
}

/// A text in lines of at most `width`, the first behind a mark and the others below it.
fn wrapped(mark: &str, text: &str, width: usize) -> Vec<String> {
    let indent = mark.chars().count();
    let room = width.saturating_sub(indent).max(10);
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((cut, _)) = rest.char_indices().nth(room) {
        // At a blank, if there is one in reach.
        let blank = rest[..cut].rfind(' ').filter(|at| *at > cut / 2);
        let at = blank.unwrap_or(cut);
        lines.push(&rest[..at]);
        rest = rest[at..].trim_start();
    }
    lines.push(rest);
    let line = |(n, line): (usize, &str)| match n {
        0 => format!("{mark}{line}"),
        _ => format!("{}{line}", " ".repeat(indent)),
    };
    lines.into_iter().enumerate().map(line).collect()
}
