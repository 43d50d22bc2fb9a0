//! A document as a tree of values that know where they were written. A reference that is not filled in is a tagged value:
//! the tag is its text.
//!
//! No file is read and nothing is typed here.

use std::collections::BTreeMap;

use linkgate_filter::problem::{Mark, Path, Problem, Segment};
use serde_json::{Value as Json, json};
use serde_yaml::Value;
use serde_yaml::value::{Tag, TaggedValue};

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

/// Texts of references by their places, such as `${LINKS}` at `limits.links`.
pub type References = BTreeMap<String, String>;

/// A reference that is not filled in, as a value. No literal value is equal to it, whatever comes to stand in for it.
pub fn reference(text: &str) -> Value {
    Value::Tagged(Box::new(TaggedValue {
        tag: Tag::new(format!("!{text}")),
        value: text.into(),
    }))
}

/// The text of a reference that is not filled in.
pub fn text_of(reference: &TaggedValue) -> String {
    let tag = reference.tag.to_string();
    tag.strip_prefix('!').unwrap_or(&tag).to_owned()
}

/// A leaf without its form in YAML.
fn plain(leaf: &Value) -> Json {
    match leaf {
        Value::Bool(bool) => (*bool).into(),
        // What is no number in JSON, such as `.inf`, is no number here either.
        Value::Number(number) if number.as_f64().is_some_and(|n| !n.is_finite()) => {
            number.to_string().into()
        }
        leaf => serde_json::to_value(leaf).unwrap_or_default(),
    }
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

    /// The texts of the references that are not filled in, by their places.
    pub fn references(&self) -> References {
        let mut found = References::new();
        self.collect_references("", &mut found);
        found
    }

    fn collect_references(&self, place: &str, found: &mut References) {
        let below = |key: &str| match place {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        };
        match &self.node {
            Node::Leaf {
                value: Value::Tagged(reference),
                ..
            } => {
                found.insert(place.to_owned(), text_of(reference));
            }
            Node::Leaf { .. } => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_references(&below(&index.to_string()), found);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    value.collect_references(&below(key), found);
                }
            }
        }
    }

    /// Whether a problem may be none once references are filled in: it is about one, or about what stands beside one.
    pub fn depends_on_reference(&self, problem: &Problem) -> bool {
        let is_reference = |tree: &Tree| matches!(&tree.node, Node::Leaf { value, .. } if matches!(value, Value::Tagged(_)));
        let here = self.nearest(&problem.path);
        if problem.of_type {
            return is_reference(here);
        }
        let parent = problem.path.parent();
        let beside = parent.map(|parent| self.nearest(&parent));
        let mut beside = beside.into_iter().flat_map(|parent| {
            let entries = parent.entries().map(|(_, tree)| tree);
            entries.chain(parent.items())
        });
        !here.references().is_empty() || beside.any(is_reference)
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

    /// The plain value, without places; with what stands in for references that are not filled in.
    pub fn value(&self) -> Json {
        self.value_by(&|reference| plain(&reference.value))
    }

    /// As [`Self::value`], with the references themselves: no value is equal to one, whatever comes to stand in for it.
    pub fn written(&self) -> Json {
        self.value_by(&|reference| json!({ "!reference": text_of(reference) }))
    }

    fn value_by(&self, of_reference: &impl Fn(&TaggedValue) -> Json) -> Json {
        match &self.node {
            Node::Leaf {
                value: Value::Tagged(reference),
                ..
            } => of_reference(reference),
            Node::Leaf { value, .. } => plain(value),
            Node::List(items) => {
                let items = items.iter().map(|item| item.value_by(of_reference));
                items.collect()
            }
            Node::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, tree)| (key.clone(), tree.value_by(of_reference)));
                Json::Object(entries.collect())
            }
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
