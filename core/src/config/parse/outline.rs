//! The shape of a text: lists, mappings, keys and leaves with their places, but without the leaves' values.

use std::collections::HashMap;
use std::ops::{Add, Sub};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};
use serde_yaml::Value;

use crate::config::diagnostics::Diagnostic;
use crate::config::source::{FileId, Span};
use crate::config::tree::{Node, Tree};

/// How deep lists and mappings may stand in each other.
const DEEPEST: usize = 64;
/// Values in one file, those that aliases repeat included.
const MOST_VALUES: usize = 100_000;
/// Bytes of the keys and texts in one file, likewise. A file itself may have far less: only repeating leads here.
const MOST_BYTES: usize = 8 << 20;

/// Reads the shape of each document; empty ones give an empty leaf.
pub(super) fn outline(text: &str, file: FileId) -> Result<Vec<Tree>, Diagnostic> {
    let mut outliner = Outliner {
        parser: Parser::new_from_str(text),
        text,
        file,
        bytes: text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect(),
        anchors: HashMap::new(),
        read: Size::default(),
        kept: Size::default(),
    };
    let mut trees = Vec::new();
    loop {
        let (event, _) = outliner.next()?;
        match event {
            Event::StreamEnd => return Ok(trees),
            Event::DocumentStart(_) => {
                outliner.anchors.clear();
                let (event, span) = outliner.next()?;
                trees.push(outliner.tree(event, span, 0)?);
            }
            _ => {}
        }
    }
}

struct Outliner<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    file: FileId,
    /// The byte at which each character begins.
    bytes: Vec<usize>,
    /// What each anchor names, and how much that is.
    anchors: HashMap<usize, (Tree, Size)>,
    /// What was read, with what aliases repeat.
    read: Size,
    /// What `anchors` holds: where anchors stand in each other, the inner is in each of the outer once more.
    kept: Size,
}

/// How much memory a part of a document takes.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    /// Of keys and texts.
    bytes: usize,
}

impl Size {
    /// Refuses what is too much; `span` is where it became so.
    fn check(self, span: Span) -> Result<(), Diagnostic> {
        let what = if self.values > MOST_VALUES {
            format!("{MOST_VALUES} values")
        } else if self.bytes > MOST_BYTES {
            format!("{} MiB of text", MOST_BYTES >> 20)
        } else {
            return Ok(());
        };
        let problem = format!(
            "with this there are more than {what} in the file, anchors and aliases counted"
        );
        Err(Diagnostic::at(span, problem).hint("split the file, or use fewer aliases"))
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Sub for Size {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            values: self.values - other.values,
            bytes: self.bytes - other.bytes,
        }
    }
}

impl<'a> Outliner<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.span(span.start.index(), span.end.index()))),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, self.span(0, 0))),
        }
    }

    /// The value that begins with `event`.
    fn tree(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Tree, Diagnostic> {
        if depth > DEEPEST {
            return Err(too_deep(span));
        }
        let before = self.read;
        let bytes = match &event {
            Event::Scalar(text, ..) => text.len(),
            _ => 0,
        };
        self.count(Size { values: 1, bytes }, span)?;
        let (anchor, node, end) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span),
            Event::Scalar(_, style, anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                let leaf = Node::Leaf {
                    value: Value::Null,
                    plain: style == ScalarStyle::Plain,
                };
                (anchor, leaf, span.end)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                let (items, end) = self.items(depth)?;
                (anchor, Node::List(items), end)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                let (entries, end) = self.entries(depth)?;
                (anchor, Node::Map(entries), end)
            }
            _ => return Err(Diagnostic::at(span, "this is not readable YAML")),
        };
        let tree = Tree {
            span: Span { end, ..span },
            key: None,
            node,
        };
        if anchor > 0 {
            let size = self.read - before;
            self.kept = self.kept + size;
            self.kept.check(span)?;
            self.anchors.insert(anchor, (tree.clone(), size));
        }
        Ok(tree)
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Tree>, usize), Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((items, span.end)),
                (event, span) => items.push(self.tree(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<(String, Tree)>, usize), Diagnostic> {
        let mut entries = Vec::new();
        loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, span) => return Ok((entries, span.end)),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span),
                (_, span) => {
                    let problem = Diagnostic::at(span, "a key has to be plain text");
                    return Err(
                        problem.hint("a text that begins with `[`, `{`, `*` or `&` needs quotes")
                    );
                }
            };
            let bytes = key.len();
            self.count(Size { values: 0, bytes }, key_span)?;
            let (event, span) = self.next()?;
            let mut value = self.tree(event, span, depth + 1)?;
            value.key = Some(key_span);
            entries.push((key, value));
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Tree, Diagnostic> {
        let unknown = || Diagnostic::at(span, "this alias stands inside the value that it names");
        let (_, size) = self.anchors.get(&anchor).ok_or_else(unknown)?;
        self.count(*size, span)?;
        let (tree, _) = self.anchors.get(&anchor).ok_or_else(unknown)?;
        Ok(Tree {
            span,
            ..tree.clone()
        })
    }

    /// Counts what is about to be read or repeated.
    fn count(&mut self, size: Size, span: Span) -> Result<(), Diagnostic> {
        self.read = self.read + size;
        self.read.check(span)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(self.text.len());
        Span {
            file: self.file,
            start: byte(start),
            end: byte(end),
        }
    }

    /// What the scanner could not read. A tab in front of a line is the likeliest cause of anything.
    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let at = self.span(error.marker().index(), error.marker().index() + 1);
        if let Some(tab) = self.first_tab(at.start) {
            return Diagnostic::at(tab, "a tab indents this line")
                .hint("YAML is indented with spaces only");
        }
        let info = error.info();
        if info.contains("recursion limit") {
            return too_deep(at);
        }
        let problem = Diagnostic::at(at, format!("this is not readable YAML: {info}"));
        problem.hint(self.remedy(info, at.start))
    }

    /// How such an error is usually mended.
    fn remedy(&self, info: &str, at: usize) -> &'static str {
        let before = &self.text[..at];
        if before.ends_with('$') && self.text[at..].starts_with('{') {
            "inside of `{ }` and `[ ]` a reference needs quotes: `\"${VAR}\"`"
        } else if info.contains("mapping values are not allowed") {
            "put a text that holds `: ` in quotes, or check the indentation"
        } else if info.contains("unexpected character") {
            "put a text that begins with this character in quotes"
        } else if info.contains("',' or") {
            "a `{` or `[` before this place is not closed, or a comma is missing"
        } else {
            "check the indentation of this line and the one before, and whether quotes and brackets are closed"
        }
    }

    /// The first tab that stands in front of a line, up to the line behind `at`.
    fn first_tab(&self, at: usize) -> Option<Span> {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            if let Some(tab) = line[..indent].find('\t') {
                return Some(Span {
                    file: self.file,
                    start: start + tab,
                    end: start + tab + 1,
                });
            }
            if start > at {
                return None;
            }
            start += line.len();
        }
        None
    }
}

fn too_deep(span: Span) -> Diagnostic {
    let problem = format!("lists and mappings stand more than {DEEPEST} deep in each other here");
    Diagnostic::at(span, problem).hint("write it flatter")
}

/// Nothing can be said of what a tag makes of a value.
fn refuse_tag(tagged: bool, span: Span) -> Result<(), Diagnostic> {
    if tagged {
        let problem = Diagnostic::at(span, "YAML tags (`!name`) are not understood");
        return Err(problem.hint("remove the tag; write a kind as a key: `name: { ... }`"));
    }
    Ok(())
}
