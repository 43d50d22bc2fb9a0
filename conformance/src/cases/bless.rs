//! New cases, in which steps only do something: what then happens is written into them.

use linkgate_core::config::source::Span;
use linkgate_filter::Registry;

use super::driver;
use super::happened::{Stated, What};
use super::language::{Case, CaseFile};
use super::sentences::sentence;

/// A file with all that its new cases bring about stated in them.
pub struct Blessed {
    /// Its text.
    pub text: String,
    /// How many cases were written into.
    pub cases: usize,
    /// Why others were not.
    pub left: Vec<String>,
}

/// States what the new cases of a file bring about; `None`: there are none.
pub fn blessed(file: &CaseFile, only: Option<&str>, registry: &Registry) -> Option<Blessed> {
    let is_wanted = |case: &&Case| only.is_none_or(|only| case.name.contains(only));
    let new = file.cases.iter().filter(|case| case.is_new());
    let new: Vec<&Case> = new.filter(is_wanted).collect();
    let (mut inserts, mut left) = (Vec::new(), Vec::new());
    let mut cases = 0;
    for case in &new {
        let rows = new.iter().filter(|other| other.span == case.span).count();
        let lines = match rows {
            1 => stated(file, case, registry),
            _ => Err("a case with examples has to be written by hand".to_owned()),
        };
        match lines {
            Ok(lines) => {
                cases += 1;
                inserts.extend(lines);
            }
            Err(why) => left.push(format!("`{}`: {why}", case.name)),
        }
    }
    let mut text = file.text.clone();
    inserts.sort_by_key(|(at, _)| *at);
    for (at, lines) in inserts.iter().rev() {
        text.insert_str(*at, lines);
    }
    (!new.is_empty()).then_some(Blessed { text, cases, left })
}

/// The lines to be written into a case, each with its place in the text.
fn stated(
    file: &CaseFile,
    case: &Case,
    registry: &Registry,
) -> Result<Vec<(usize, String)>, String> {
    let run = driver::observe(file, case, registry);
    if let Some(failure) = run.failure {
        return Err(failure.message);
    }
    let mut inserts = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let indent = indent(&file.text, step.span)
            .ok_or("write its steps one below the other, each behind `- `")?;
        let stated = run.entries.iter().filter_map(|entry| match &entry.what {
            What::Seen(seen) if seen.stated == Stated::By(number) => Some(seen),
            _ => None,
        });
        let lines = stated.map(|seen| format!("\n{indent}- {}", sentence(seen)));
        inserts.push((end(&file.text, step.span), lines.collect::<String>()));
    }
    Ok(inserts)
}

/// What stands before the dash of a step; `None` where it has no line of its own.
fn indent(text: &str, step: Span) -> Option<&str> {
    let line = text[..step.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line..step.start];
    let dash = before.trim_end().strip_suffix('-')?;
    dash.trim().is_empty().then_some(dash)
}

/// Where the last line of a step ends.
fn end(text: &str, step: Span) -> usize {
    let written = text[step.start..step.end].trim_end();
    let last = step.start + written.len();
    text[last..].find('\n').map_or(text.len(), |at| last + at)
}
