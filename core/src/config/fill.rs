//! `${VAR}`, `${VAR:-default}` and `${file:path}` in the text values of a document.
//!
//! Keys, numbers and comments stay as they are, and what is filled in is never read as YAML structure.

mod reach;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linkgate_filter::problem::nearest;
use serde_yaml::Value;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::files::{LARGEST, TooLarge, read_bounded};
use super::parse::plain_scalar;
use super::secrets::Hidden;
use super::source::Span;
use super::tree::{Node, Tree, reference};
pub(super) use reach::Reach;
use reach::{ITEM, has_reference, is_name_at};

/// Bytes that the references of one file may be filled in with: as for aliases, what is small may be repeated often.
pub(super) const MOST_FILLED: usize = 8 << 20;

/// What references are filled in from.
pub(super) struct Filler<'a> {
    /// What may be read.
    pub(super) reach: Reach<'a>,
    /// The document is one of the node's own.
    pub(super) is_own: bool,
    /// The variables.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Where relative paths begin.
    pub(super) directory: &'a Path,
    /// Hears of each file that is named, and of what it holds.
    pub(super) named: &'a dyn Fn(&Path, Option<&[u8]>),
    /// What stands in place of a file.
    pub(super) given: &'a dyn Fn(&Path) -> Option<Vec<u8>>,
    /// What stands in for a file that cannot be read.
    pub(super) kept: &'a dyn Fn(&Path) -> Option<Vec<u8>>,
    /// Bytes that may still be filled in; from [`MOST_FILLED`] on.
    pub(super) left: Cell<usize>,
}

impl Filler<'_> {
    /// Fills in every reference of the tree. What is filled in is hidden from messages: it may be a secret.
    pub(super) fn fill(&self, tree: &mut Tree, diagnostics: &mut Diagnostics) {
        self.fill_at(&mut Vec::new(), tree, diagnostics);
    }

    fn fill_at<'t>(
        &self,
        place: &mut Vec<&'t str>,
        tree: &'t mut Tree,
        diagnostics: &mut Diagnostics,
    ) {
        let span = tree.span;
        match &mut tree.node {
            Node::List(items) => {
                place.push(ITEM);
                for item in items {
                    self.fill_at(place, item, diagnostics);
                }
                place.pop();
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    place.push(key);
                    self.fill_at(place, value, diagnostics);
                    place.pop();
                }
            }
            Node::Leaf { value, plain } => {
                let Some(text) = value.as_str().filter(|text| text.contains('$')) else {
                    return;
                };
                let has_reference = has_reference(text);
                if has_reference && is_name_at(place, self.is_own) {
                    return diagnostics.push_last(span, no_name(place, span));
                }
                if has_reference && matches!(self.reach, Reach::Nothing) {
                    diagnostics.leave_unfilled();
                    *value = reference(text);
                    return;
                }
                match self.filled(text, span) {
                    Ok(filled) => {
                        if !filled.parts.is_empty() {
                            diagnostics.hide(&filled.text, text);
                        }
                        for (part, shown) in &filled.parts {
                            diagnostics.hide(part, shown);
                        }
                        // Written without quotes, the value is what it would be had it been written in place.
                        *value = match *plain && filled.changed && !filled.from_file {
                            true => plain_scalar(&filled.text),
                            false => Value::String(filled.text),
                        };
                        if let (Value::Number(number), Some((_, shown))) =
                            (&*value, filled.parts.first())
                        {
                            diagnostics.hide(&number.to_string(), shown);
                        }
                    }
                    Err(problem) => diagnostics.push_last(span, problem),
                }
            }
        }
    }

    fn filled(&self, text: &str, span: Span) -> Result<Filled, Diagnostic> {
        let mut filled = Filled::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(tail) = rest.strip_prefix('$') {
                filled.text.push('$');
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix('{') {
                let (reference, tail) = tail.split_once('}').ok_or_else(|| {
                    Diagnostic::at(span, "a reference begins with `${` but does not end")
                        .hint("close it with `}`, or write `$${` for the characters themselves")
                })?;
                self.reference(reference, span, &mut filled)?;
                rest = tail;
            } else {
                filled.text.push('$');
            }
        }
        filled.text.push_str(rest);
        Ok(filled)
    }

    fn reference(
        &self,
        reference: &str,
        span: Span,
        filled: &mut Filled,
    ) -> Result<(), Diagnostic> {
        filled.changed = true;
        if let Some(path) = reference.strip_prefix("file:") {
            // No further file is read for what would be refused.
            self.take(0, span)?;
            let text = self.file(path, span)?;
            self.take(text.len(), span)?;
            filled.text.push_str(&text);
            filled.parts.push((text, Hidden::SECRET.to_owned()));
            filled.from_file = true;
            return Ok(());
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            return Err(Diagnostic::at(span, format!("`${{{reference}}}` is not a reference"))
                .hint("write `${VARIABLE}`, `${VARIABLE:-default}` or `${file:path}`; `$$` stands for `$`"));
        }
        self.may_name(name, span)?;
        // As in a shell, `:-` also stands in for a variable that is empty.
        let value = self.variables.get(name).cloned();
        let value = value.filter(|value| default.is_none() || !value.is_empty());
        match (value, default) {
            (Some(value), _) => {
                self.take(value.len(), span)?;
                filled.text.push_str(&value);
                filled.parts.push((value, format!("${{{name}}}")));
            }
            (None, Some(default)) => filled.text.push_str(default),
            (None, None) => return Err(self.unset(name, span)),
        }
        Ok(())
    }

    fn take(&self, bytes: usize, span: Span) -> Result<(), Diagnostic> {
        let left = self.left.get().checked_sub(bytes).filter(|left| *left > 0);
        self.left.set(left.unwrap_or(0));
        if left.is_some() {
            return Ok(());
        }
        let most = MOST_FILLED >> 20;
        let problem =
            format!("with this, references are filled in with over {most} MiB in this file");
        Err(Diagnostic::at(span, problem).hint("split the file"))
    }

    fn unset(&self, name: &str, span: Span) -> Diagnostic {
        let problem = Diagnostic::at(
            span,
            format!("the environment variable `{name}` is not set"),
        );
        let known = self.variables.keys().map(String::as_str);
        match nearest(name, known.filter(|name| self.is_granted(name))) {
            Some(near) => problem.hint(format!(
                "did you mean `{near}`? Or give a default: `${{{name}:-default}}`"
            )),
            None => problem.hint(format!("set it, or give a default: `${{{name}:-default}}`")),
        }
    }

    fn is_granted(&self, name: &str) -> bool {
        match &self.reach {
            Reach::Granted(grants) => grants.variables.contains(name),
            Reach::Node | Reach::Nothing => true,
        }
    }

    fn may_name(&self, name: &str, span: Span) -> Result<(), Diagnostic> {
        if self.is_granted(name) {
            return Ok(());
        }
        let problem = format!("documents from etcd may not name the variable `{name}`");
        let hint = format!("in the node's own file write `config: {{ variables: [{name}] }}`");
        Err(Diagnostic::at(span, problem).hint(hint))
    }

    /// The file that a reference names.
    fn find(&self, path: &str, span: Span) -> Result<PathBuf, Diagnostic> {
        match &self.reach {
            Reach::Granted(grants) => grants.file(Path::new(path), span),
            Reach::Node | Reach::Nothing => Ok(self.directory.join(path)),
        }
    }

    fn file(&self, path: &str, span: Span) -> Result<String, Diagnostic> {
        let full = self.find(path, span)?;
        let problem =
            |why: &str| Diagnostic::at(span, format!("the file `{}` {why}", full.display()));
        let read = match (self.given)(&full) {
            Some(given) => Ok(given),
            None => read_bounded(&full).or_else(|error| (self.kept)(&full).ok_or(error)),
        };
        (self.named)(&full, read.as_deref().ok());
        let bytes = read.map_err(|error| match error {
            TooLarge::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                problem("does not exist").hint(match self.reach {
                    Reach::Granted(_) => "a path in `${file:...}` begins at `config.files_root`",
                    _ => "a path in `${file:...}` begins at the folder of this document",
                })
            }
            TooLarge::Io(error) => problem(&format!("cannot be read: {error}")),
            TooLarge::Size => problem(&format!("is larger than {} KiB", LARGEST >> 10)),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| problem("is not UTF-8 text"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

fn no_name(place: &[&str], span: Span) -> Diagnostic {
    let mut keys = place.iter().rev();
    let key = keys.find(|key| **key != ITEM).unwrap_or(&ITEM);
    let problem = format!("`{key}` is a name, and cannot be a reference");
    Diagnostic::at(span, problem).hint(
        "write the name itself; what stands under `node` can be a reference, in a file of the node",
    )
}

/// A text with its references filled in.
#[derive(Default)]
struct Filled {
    text: String,
    /// The parts that came from variables and files, and what is shown of them.
    parts: Vec<(String, String)>,
    /// One of them came from a file.
    from_file: bool,
    /// There was a reference.
    changed: bool,
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(good)
}

#[cfg(test)]
mod tests;
