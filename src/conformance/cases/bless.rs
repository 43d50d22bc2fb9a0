//! New cases, in which steps only do something: what then happens is written into them.

use linkgate_filter::Registry;

use super::driver;
use super::happened::{Stated, What};
use super::language::{Case, CaseFile};
use super::sentences::sentence;
use crate::config::source::Span;

/// The file's text with all that its new cases bring about stated in them, and how many there were; `None`: there are none.
///
/// # Errors
/// A case that cannot be written into, or does not get to its end.
pub fn blessed(
    file: &CaseFile,
    only: Option<&str>,
    registry: &Registry,
) -> Result<Option<(String, usize)>, String> {
    let is_wanted = |case: &&Case| only.is_none_or(|only| case.name.contains(only));
    let new = file.cases.iter().filter(|case| case.is_new());
    let new: Vec<&Case> = new.filter(is_wanted).collect();
    let mut inserts = Vec::new();
    for case in &new {
        let wrong = |why: &str| format!("`{}`: {why}", case.name);
        let rows = new.iter().filter(|other| other.span == case.span).count();
        if rows > 1 {
            return Err(wrong("a case with examples has to be written by hand"));
        }
        let run = driver::observe(file, case, registry);
        if let Some(failure) = &run.failure {
            return Err(wrong(&failure.message));
        }
        for (number, step) in case.steps.iter().enumerate() {
            let indent = indent(&file.text, step.span)
                .ok_or_else(|| wrong("write its steps one below the other, each behind `- `"))?;
            let stated = run.entries.iter().filter_map(|entry| match &entry.what {
                What::Seen(seen) if seen.stated == Stated::By(number) => Some(seen),
                _ => None,
            });
            let lines = stated.map(|seen| format!("\n{indent}- {}", sentence(seen)));
            inserts.push((end(&file.text, step.span), lines.collect::<String>()));
        }
    }
    if new.is_empty() {
        return Ok(None);
    }
    let mut text = file.text.clone();
    inserts.sort_by_key(|(at, _)| *at);
    for (at, lines) in inserts.iter().rev() {
        text.insert_str(*at, lines);
    }
    Ok(Some((text, new.len())))
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
