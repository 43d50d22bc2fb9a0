//! Text to trees: one per YAML document of a file.
//!
//! `saphyr-parser` gives the places, and the limits are kept on its events; `serde_yaml` gives the values. What the
//! values mean is not known here.

mod outline;
mod values;

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeSeed;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::source::{FileId, Sources, Span};
use super::tree::{Node, Tree};

/// The documents of a file that hold anything. Problems are noted; a text that is no YAML gives no documents.
pub(super) fn parse(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Vec<Tree> {
    let source = sources.get(file);
    let found = diagnostics.len();
    let mut trees = match outline::outline(&source.text, file) {
        Ok(trees) => trees,
        Err(stop) => {
            diagnostics.push_unread(stop);
            return Vec::new();
        }
    };
    let documents = serde_yaml::Deserializer::from_str(&source.text);
    for (tree, document) in trees.iter_mut().zip(documents) {
        if let Err(error) = values::Values(tree).deserialize(document) {
            diagnostics.push_unread(unreadable(file, &source.text, &error));
            return Vec::new();
        }
    }
    for tree in &mut trees {
        settle_keys(tree, diagnostics);
    }
    trees.retain(|tree| !matches!(&tree.node, Node::Leaf { value, .. } if value.is_null()));
    if trees.is_empty() && diagnostics.len() == found {
        let problem = Diagnostic::file(&source.path, "this file holds no configuration");
        diagnostics.push(problem.hint("begin it with `schema: 1`, or remove it"));
    }
    trees
}

/// What `serde_yaml` does not take, at the place it names.
fn unreadable(file: FileId, text: &str, error: &serde_yaml::Error) -> Diagnostic {
    let at = error.location().map_or(0, |location| location.index());
    let start = (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let length = text[start..].chars().next().map_or(0, char::len_utf8);
    let span = Span {
        file,
        start,
        end: start + length,
    };
    Diagnostic::at(span, format!("this is not readable YAML: {message}"))
}

/// Reports keys that stand twice, keys that are no text, and merges; leaves the first of each key.
fn settle_keys(tree: &mut Tree, diagnostics: &mut Diagnostics) {
    match &mut tree.node {
        Node::Leaf { .. } => {}
        Node::List(items) => items
            .iter_mut()
            .for_each(|item| settle_keys(item, diagnostics)),
        Node::Map(entries) => {
            let mut kept: Vec<(String, Tree)> = Vec::with_capacity(entries.len());
            let mut known: HashMap<String, Span> = HashMap::with_capacity(entries.len());
            for (key, mut value) in std::mem::take(entries) {
                let span = value.key.unwrap_or(value.span);
                if key == "<<" {
                    let problem = Diagnostic::at(span, "YAML merges (`<<`) are not understood");
                    diagnostics
                        .push(problem.hint("write the keys out, or use a profile with `override`"));
                    continue;
                }
                if key.contains("${") {
                    let problem = Diagnostic::at(
                        span,
                        "a reference is filled in in values only, not in keys",
                    );
                    diagnostics.push(problem.hint("write the key out"));
                }
                if let Some(first) = known.get(&key) {
                    let problem = Diagnostic::at(
                        span,
                        format!("the key `{key}` stands twice in this mapping"),
                    )
                    .also(*first, "it is here already");
                    diagnostics.push(problem.hint("remove one of the two"));
                    continue;
                }
                known.insert(key.clone(), span);
                settle_keys(&mut value, diagnostics);
                kept.push((key, value));
            }
            *entries = kept;
        }
    }
}

/// The value of a text that stands where YAML has an unquoted scalar: a number, a boolean, or else text.
pub(super) fn plain_scalar(text: &str) -> serde_yaml::Value {
    let resolved = serde_yaml::Deserializer::from_str(text);
    match serde_yaml::Value::deserialize(resolved) {
        Ok(value) if value.is_number() || value.is_bool() => value,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests;
