//! A case that failed, as its author reads it: what was stated beside what happened, with what every filter said.

use std::fmt::Write as _;
use std::time::Duration;

use linkgate_filter::units::HumanDuration;

use super::bless;
use super::driver::{Failure, Run};
use super::language::{Case, Kind, Step};
use super::seen::shortened;
use super::world::log::{Entry, Said, Seen, Stated, What};

/// Columns of the left side.
const LEFT: usize = 58;
/// Columns of the right side.
const RIGHT: usize = 78;
/// Characters of a step or of what was seen.
const LONGEST: usize = 400;

/// How a line is shown on a terminal in colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Bad,
    Faint,
    Plain,
}

impl Tone {
    fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Faint => "2",
            Self::Plain => return text.to_owned(),
        };
        match colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// The two sides, step by step, up to the one that failed.
pub fn render(case: &Case, run: &Run, failure: &Failure, colour: bool) -> String {
    let mut shown = String::new();
    let mut row = |left: &[(Tone, String)], right: &[(Tone, String)]| {
        for at in 0..left.len().max(right.len()) {
            let empty = (Tone::Plain, String::new());
            let (tone, text) = left.get(at).unwrap_or(&empty);
            let padding = LEFT.saturating_sub(text.chars().count());
            let (right_tone, right) = right.get(at).unwrap_or(&empty);
            // Writing to a text cannot fail.
            let _ = writeln!(
                shown,
                "  {}{} | {}",
                tone.paint(text, colour),
                " ".repeat(padding),
                right_tone.paint(right, colour)
            );
        }
    };
    row(
        &[(Tone::Faint, "stated".to_owned())],
        &[(Tone::Faint, "happened".to_owned())],
    );
    let last = failure.step.unwrap_or(case.steps.len());
    let mut from = 0;
    for (number, step) in case.steps.iter().enumerate().take(last + 1) {
        let (mark, tone) = match number == last {
            true => ("x ", Tone::Bad),
            false => ("  ", Tone::Plain),
        };
        let to = run.marks.get(number).copied().unwrap_or(run.entries.len());
        let right = right_side(number, step, &run.entries, from..to);
        from = to;
        let text = shortened(&step.text, LONGEST);
        row(&wrapped(mark, &text, LEFT, tone), &right);
    }
    if failure.step.is_none() {
        let left = (Tone::Bad, "x the end of the case".to_owned());
        let late = right_side(usize::MAX, &end(), &run.entries, from..run.entries.len());
        row(&[left], &late);
    }
    shown
}

/// A step that stands for the end.
fn end() -> Step {
    Step {
        span: crate::config::source::Span::nowhere(),
        text: String::new(),
        kind: Kind::Action(super::language::Action::Pass(Duration::ZERO)),
    }
}

fn right_side(
    number: usize,
    step: &Step,
    entries: &[Entry],
    during: std::ops::Range<usize>,
) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    if !matches!(step.kind, Kind::Action(_)) {
        let stated = entries.iter().filter_map(|entry| match &entry.what {
            What::Seen(seen) if seen.stated == Stated::By(number) => Some((entry.at, seen)),
            _ => None,
        });
        for (at, seen) in stated {
            lines.extend(line(at, &bless::sentence(seen), Tone::Good));
        }
    }
    for entry in entries.get(during).unwrap_or_default() {
        match &entry.what {
            What::Said(said) => lines.extend(said_line(entry.at, said)),
            What::Seen(seen) => lines.extend(seen_line(entry.at, seen)),
        }
    }
    lines
}

/// What has happened and no step has stated; what one has is shown beside that one.
fn seen_line(at: Duration, seen: &Seen) -> Vec<(Tone, String)> {
    match seen.stated {
        Stated::No => {
            let text = format!("{}   <- not stated", bless::sentence(seen));
            line(at, &text, Tone::Bad)
        }
        Stated::Allowed => line(
            at,
            &format!("{}   (allowed)", bless::sentence(seen)),
            Tone::Faint,
        ),
        Stated::By(_) => Vec::new(),
    }
}

fn said_line(at: Duration, said: &Said) -> Vec<(Tone, String)> {
    let who = match said.user_id.is_empty() {
        true => said.biz_id.to_string(),
        false => format!("{}/{}", said.biz_id, said.user_id),
    };
    line(
        at,
        &format!("  {who} {} {}", said.filter, said.text),
        Tone::Faint,
    )
}

fn line(at: Duration, text: &str, tone: Tone) -> Vec<(Tone, String)> {
    let time = HumanDuration::from(Duration::from_millis(
        u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
    ));
    let text = shortened(text, LONGEST);
    wrapped(&format!("{:<8} ", time.to_string()), &text, RIGHT, tone)
}

/// A text in lines of at most `width`, the first behind a mark and the others below it.
fn wrapped(mark: &str, text: &str, width: usize, tone: Tone) -> Vec<(Tone, String)> {
    let indent = mark.chars().count();
    let room = width.saturating_sub(indent).max(10);
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let cut = rest.char_indices().nth(room).map(|(at, _)| at);
        let Some(cut) = cut else { break };
        // At a blank, if there is one in reach.
        let at = rest[..cut]
            .rfind(' ')
            .filter(|at| *at > cut / 2)
            .unwrap_or(cut);
        lines.push(&rest[..at]);
        rest = rest[at..].trim_start();
    }
    lines.push(rest);
    let line = |(n, line): (usize, &str)| match n {
        0 => (tone, format!("{mark}{line}")),
        _ => (tone, format!("{}{line}", " ".repeat(indent))),
    };
    lines.into_iter().enumerate().map(line).collect()
}
