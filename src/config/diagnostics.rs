//! Problems with their places in the text, and how they are shown.
//!
//! What is wrong is found elsewhere. Secrets are blacked out here, once for all messages.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use linkgate_filter::problem::MOST;

use super::source::{Sources, Span};

/// One thing that is wrong with the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostic {
    place: Place,
    message: String,
    hint: Option<String>,
    also: Vec<(Span, String)>,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A file or directory that could not be used as text.
    File(PathBuf),
    /// In a text.
    Text(Span),
}

impl Diagnostic {
    /// A problem at a place in the text.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self {
            place: Place::Text(span),
            message: message.into(),
            hint: None,
            also: Vec::new(),
        }
    }

    /// A problem with a whole file or directory.
    pub fn file(path: &Path, message: impl Into<String>) -> Self {
        Self {
            place: Place::File(path.to_owned()),
            message: message.into(),
            hint: None,
            also: Vec::new(),
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Shows another place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it says the same of the same place, if only with other places beside it.
    fn repeats(&self, other: &Self) -> bool {
        self.place == other.place && self.message == other.message && self.hint == other.hint
    }

    fn render(&self, level: &Level<'_>, sources: &Sources, renderer: &Renderer) -> String {
        let title = level.clone().primary_title(self.message.as_str());
        let mut group = Group::with_title(title);
        let mut places: Vec<(Span, Option<&str>)> = Vec::new();
        match &self.place {
            Place::File(path) => group = group.element(Origin::path(path.to_string_lossy())),
            Place::Text(span) => places.push((*span, None)),
        }
        places.extend(
            self.also
                .iter()
                .map(|(span, label)| (*span, Some(label.as_str()))),
        );
        while let Some((Span { file, .. }, _)) = places.first().copied() {
            let source = sources.get(file);
            let here = places
                .extract_if(.., |(span, _)| span.file == file)
                .map(|(span, label)| {
                    let kind = match label {
                        None => AnnotationKind::Primary,
                        Some(_) => AnnotationKind::Context,
                    };
                    kind.span(first_line(&source.text, span)).label(label)
                });
            let snippet = Snippet::source(source.text.as_str())
                .path(source.path.to_string_lossy())
                .annotations(here);
            group = group.element(snippet);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

/// The part of the span on its first line; at least one character, so that there is something to point at.
fn first_line(text: &str, span: Span) -> Range<usize> {
    let start = span.start.min(text.len());
    let line_end = text[start..]
        .find(['\n', '\r'])
        .map_or(text.len(), |at| start + at);
    let end = span.end.clamp(start, line_end);
    let end = start + text[start..end].trim_end().len();
    start..end.max(start)
}

/// All problems of a configuration.
#[derive(Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    secrets: BTreeSet<String>,
    closed: BTreeSet<Span>,
    incomplete: bool,
    cut_short: bool,
}

impl fmt::Debug for Diagnostics {
    /// Without the messages, which may quote secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics")
            .field("problems", &self.list.len())
            .finish_non_exhaustive()
    }
}

impl Diagnostics {
    /// Notes a problem, once: several pipelines may find the same in a profile.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let closed = matches!(diagnostic.place, Place::Text(span) if self.closed.contains(&span));
        if !closed && !self.list.iter().any(|known| known.repeats(&diagnostic)) {
            self.list.push(diagnostic);
        }
    }

    /// Notes something that is not wrong, and promises less than a reader may think.
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic);
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The problems in the order they were found. Messages may quote secrets: show them by [`Self::render`] alone.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Notes a problem with a value that cannot be known: nothing more is said of it.
    pub(super) fn push_last(&mut self, span: Span, diagnostic: Diagnostic) {
        self.push(diagnostic);
        self.closed.insert(span);
    }

    /// Notes that a file or document could not be read: what seems undefined may be defined there.
    pub(super) fn push_unread(&mut self, diagnostic: Diagnostic) {
        self.push(diagnostic);
        self.incomplete = true;
    }

    /// Notes that not all problems were looked for.
    pub(super) fn cut_short(&mut self) {
        self.cut_short = true;
    }

    /// Notes that nothing is defined by a name, unless a file or document could not be read.
    pub(super) fn push_undefined(&mut self, diagnostic: Diagnostic) {
        if !self.incomplete {
            self.push(diagnostic);
        }
    }

    /// A text that is never to be shown.
    pub(super) fn hide(&mut self, secret: &str) {
        for form in [secret, secret.trim()] {
            let quoted = format!("{form:?}");
            for form in [form, &quoted[1..quoted.len() - 1]] {
                if !form.is_empty() {
                    self.secrets.insert(form.to_owned());
                }
            }
        }
    }

    /// Every problem with its source line, file by file, and how many there are.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let renderer = renderer(colour);
        let mut list: Vec<Diagnostic> = self
            .list
            .iter()
            .map(|diagnostic| self.clean(diagnostic))
            .collect();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        let mut out = String::new();
        for diagnostic in list.iter().take(MOST) {
            let shown = diagnostic.render(&Level::ERROR, sources, &renderer);
            let _ = writeln!(out, "{shown}\n");
        }
        let files: BTreeSet<_> = list
            .iter()
            .map(|diagnostic| file_name(diagnostic, sources))
            .collect();
        if list.len() > MOST {
            let _ = writeln!(out, "(only the first {} are shown)", MOST);
        }
        let more = if self.cut_short { " or more" } else { "" };
        let problems = count(list.len(), "problem");
        let _ = writeln!(out, "{problems}{more} in {}", count(files.len(), "file"));
        out
    }

    /// Every warning with its source line.
    pub fn render_warnings(&self, sources: &Sources, colour: bool) -> String {
        let renderer = renderer(colour);
        let mut out = String::new();
        for warning in &self.warnings {
            let shown = self.clean(warning);
            let shown = shown.render(&Level::WARNING, sources, &renderer);
            let _ = writeln!(out, "{shown}\n");
        }
        out
    }

    /// Every warning as one line, for a log.
    pub fn warning_lines(&self) -> Vec<String> {
        let line = |warning: &Diagnostic| {
            let Diagnostic { message, hint, .. } = self.clean(warning);
            let hint = hint.map(|hint| format!(": {hint}"));
            message + &hint.unwrap_or_default()
        };
        self.warnings.iter().map(line).collect()
    }

    /// The diagnostic as it may be shown: without secrets, and without characters that steer a terminal.
    fn clean(&self, diagnostic: &Diagnostic) -> Diagnostic {
        let clean = |text: &String| self.black_out(text);
        Diagnostic {
            message: clean(&diagnostic.message),
            hint: diagnostic.hint.as_ref().map(clean),
            place: diagnostic.place.clone(),
            also: diagnostic
                .also
                .iter()
                .map(|(span, label)| (*span, clean(label)))
                .collect(),
        }
    }

    fn black_out(&self, text: &str) -> String {
        // The longest first, so that no secret survives as the rest of another.
        let mut secrets: Vec<&String> = self.secrets.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = text.to_owned();
        for secret in secrets {
            if secret.chars().count() >= 4 {
                text = text.replace(secret.as_str(), "(secret)");
                continue;
            }
            // A few letters stand in other words too: they are blacked out where they are quoted.
            for quote in ["`", "\"", "'"] {
                let quoted = format!("{quote}{secret}{quote}");
                text = text.replace(&quoted, &format!("{quote}(secret){quote}"));
            }
        }
        text.chars()
            .flat_map(|c| {
                if c.is_control() && c != '\n' {
                    c.escape_default().collect()
                } else {
                    vec![c]
                }
            })
            .collect()
    }
}

fn renderer(colour: bool) -> Renderer {
    if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

fn file_name(diagnostic: &Diagnostic, sources: &Sources) -> PathBuf {
    match &diagnostic.place {
        Place::File(path) => path.clone(),
        Place::Text(span) => sources.get(span.file).path.clone(),
    }
}

/// `1 problem`, `3 problems`.
pub fn count(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests;
