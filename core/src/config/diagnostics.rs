//! Problems with their places in the text, and how they are shown.
//!
//! What is wrong is found elsewhere. Secrets are left out here, once for all messages and lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use linkgate_filter::problem::MOST;

use super::secrets::{Hidden, Masked, Names};
use super::source::{FileId, Sources, Span};
use super::tree::Tree;

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

    /// The places in texts that it has to do with, its own first.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let own = match &self.place {
            Place::File(_) => None,
            Place::Text(span) => Some(*span),
        };
        own.into_iter()
            .chain(self.also.iter().map(|(span, _)| *span))
    }

    /// Whether it says the same of the same place, if only with other places beside it.
    fn repeats(&self, other: &Self) -> bool {
        self.place == other.place && self.message == other.message && self.hint == other.hint
    }

    fn render(
        &self,
        level: &Level<'_>,
        sources: &Sources,
        shown: &BTreeMap<FileId, Masked>,
        renderer: &Renderer,
    ) -> String {
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
            let masked = shown.get(&file);
            let here = places
                .extract_if(.., |(span, _)| span.file == file)
                .map(|(span, label)| {
                    let kind = match label {
                        None => AnnotationKind::Primary,
                        Some(_) => AnnotationKind::Context,
                    };
                    let place = first_line(&source.text, span);
                    let place = masked.map_or(place.clone(), |masked| masked.at(place));
                    kind.span(place).label(label)
                });
            let text = masked.map_or("", |masked| masked.text.as_str());
            let snippet = Snippet::source(text)
                .path(source.path.to_string_lossy())
                .annotations(here);
            group = group.element(snippet);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let mut rendered = renderer.render(&[group]);
        for span in self.spans() {
            let source = sources.get(span.file);
            if let Some(masked) = shown.get(&span.file) {
                let place = masked.at(first_line(&source.text, span));
                let (line, column) = position(&masked.text, place.start);
                let path = format!("{}:{line}:", source.path.display());
                let (_, true_column) = position(&source.text, span.start);
                put_column(&mut rendered, &path, column, true_column);
            }
        }
        rendered
    }
}

/// Says where a problem is in the file: the renderer knows only the line as it is shown, in which masks move the rest.
fn put_column(rendered: &mut String, path_and_line: &str, shown: usize, column: usize) {
    let from = format!("{path_and_line}{shown}");
    let found = rendered.find(&from).filter(|at| {
        let behind = rendered[at + from.len()..].chars().next();
        shown != column && !behind.is_some_and(|c| c.is_ascii_digit())
    });
    if let Some(at) = found {
        let column = format!("{path_and_line}{column}");
        rendered.replace_range(at..at + from.len(), &column);
    }
}

/// Line and column of a place, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rfind('\n').map_or(before, |at| &before[at + 1..]);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
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
    /// Which of the list are at each place.
    at: BTreeMap<Place, Vec<usize>>,
    warnings: Vec<Diagnostic>,
    secrets: Names,
    hidden: Hidden,
    closed: BTreeSet<Span>,
    unfilled: bool,
    incomplete: bool,
    cut_short: bool,
    /// The texts have no secrets.
    open: bool,
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
        let here = self.at.entry(diagnostic.place.clone()).or_default();
        if !closed && !here.iter().any(|at| self.list[*at].repeats(&diagnostic)) {
            here.push(self.list.len());
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

    /// Notes that a reference stands for itself: whether it makes sense there cannot be told.
    pub(super) fn leave_unfilled(&mut self) {
        self.unfilled = true;
    }

    /// Whether any does.
    pub(crate) fn has_unfilled(&self) -> bool {
        self.unfilled
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

    /// Learns from a JSON Schema which keys hold secrets.
    pub(super) fn learn_secrets(&mut self, schema: &serde_json::Value) {
        self.secrets.learn(schema);
    }

    /// The texts have no secrets: they are shown as they are.
    pub(super) fn hide_nothing(&mut self) {
        self.open = true;
    }

    /// Hides the secrets that a document has in place.
    pub(super) fn hide_secrets_in(&mut self, tree: &Tree) {
        self.secrets.hide_in(tree, &mut self.hidden);
    }

    /// A text that is never to be shown, and what is shown in its place.
    pub(super) fn hide(&mut self, text: &str, shown: &str) {
        self.hidden.hide(text, shown);
    }

    /// The files that problems are in, and whether each could be read.
    pub(super) fn files(&self, sources: &Sources) -> BTreeMap<PathBuf, bool> {
        let file = |diagnostic: &Diagnostic| {
            let path = file_name(diagnostic, sources).to_owned();
            (path, matches!(diagnostic.place, Place::Text(_)))
        };
        self.list.iter().map(file).collect()
    }

    /// The problems of one file.
    pub(super) fn of(&self, path: &Path, sources: &Sources) -> Self {
        let mut own = Self {
            list: Vec::new(),
            at: BTreeMap::new(),
            ..self.clone()
        };
        own.closed.clear();
        for diagnostic in &self.list {
            if file_name(diagnostic, sources) == path {
                own.push(diagnostic.clone());
            }
        }
        own
    }

    /// Every problem with its source line, file by file, and how many there are.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        let first = list.iter().take(MOST).copied();
        let mut out = self.shown(first, &Level::ERROR, sources, colour);
        let files: BTreeSet<&Path> = list
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
        self.shown(self.warnings.iter(), &Level::WARNING, sources, colour)
    }

    fn shown<'a>(
        &self,
        list: impl Iterator<Item = &'a Diagnostic>,
        level: &Level<'_>,
        sources: &Sources,
        colour: bool,
    ) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let list: Vec<Diagnostic> = list.map(|it| self.clean(it)).collect();
        let mut masked = BTreeMap::new();
        for Span { file, .. } in list.iter().flat_map(Diagnostic::spans) {
            masked.entry(file).or_insert_with(|| match self.open {
                true => Masked::none(&sources.get(file).text),
                false => Masked::new(&sources.get(file).text, &self.secrets),
            });
        }
        let mut out = String::new();
        for diagnostic in &list {
            let shown = diagnostic.render(level, sources, &masked, &renderer);
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
        let clean = |text: &String| self.hidden.clean(text);
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
}

fn file_name<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> &'a Path {
    match &diagnostic.place {
        Place::File(path) => path,
        Place::Text(span) => &sources.get(span.file).path,
    }
}

/// `1 problem`, `3 problems`.
pub fn count(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests;
