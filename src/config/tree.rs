//! A document as a tree of values that know where they were written.
//!
//! No file is read and nothing is typed here.

use linkgate_filter::problem::{Mark, Path, Segment};
use serde_yaml::{Mapping, Value};

use super::source::Span;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Where the value stands.
    pub span: Span,
    /// Where its key stands, if it has one.
    pub key: Option<Span>,
    /// The value.
    pub node: Node,
}

/// What a [`Tree`] holds.
#[derive(Debug, Clone)]
pub enum Node {
    /// Neither list nor mapping.
    Leaf {
        /// The value.
        value: Value,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Tree>),
    /// A mapping, in the order written. No key stands twice.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.entries()
            .find(|(name, _)| *name == key)
            .map(|(_, tree)| tree)
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Tree)> {
        let entries = match &self.node {
            Node::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(name, tree)| (name.as_str(), tree))
    }

    /// The elements of a list; none of anything else.
    pub fn items(&self) -> &[Tree] {
        match &self.node {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a leaf that is text.
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Leaf { value, .. } => value.as_str(),
            _ => None,
        }
    }

    /// The value at `path`, or the nearest one above it that is there.
    pub fn nearest(&self, path: &Path) -> &Tree {
        let mut here = self;
        for segment in path.segments() {
            let next = match segment {
                Segment::Key(key) => here.get(key),
                Segment::Index(index) => here.items().get(*index),
            };
            let Some(next) = next else { break };
            here = next;
        }
        here
    }

    /// Where a problem at `path` is to be shown. A mapping or list of several lines is shown by its key.
    pub fn locate(&self, path: &Path, mark: Mark) -> Span {
        let here = self.nearest(path);
        let by_key = mark == Mark::Key || !matches!(here.node, Node::Leaf { .. });
        match here.key {
            Some(key) if by_key => key,
            _ => here.span,
        }
    }

    /// The plain value, without places.
    pub fn value(&self) -> Value {
        match &self.node {
            Node::Leaf { value, .. } => value.clone(),
            Node::List(items) => items.iter().map(Tree::value).collect(),
            Node::Map(entries) => Value::Mapping(
                entries
                    .iter()
                    .map(|(key, tree)| (Value::from(key.as_str()), tree.value()))
                    .collect::<Mapping>(),
            ),
        }
    }

    /// This value with another laid over it: mappings are merged key by key, anything else is replaced.
    #[must_use]
    pub fn overlaid(mut self, over: &Tree) -> Tree {
        let (Node::Map(base), Node::Map(over_entries)) = (&mut self.node, &over.node) else {
            return over.clone();
        };
        for (key, value) in over_entries {
            match base.iter_mut().find(|(name, _)| name == key) {
                Some((_, below)) => *below = below.clone().overlaid(value),
                None => base.push((key.clone(), value.clone())),
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
