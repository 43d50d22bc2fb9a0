//! Cases that run once for each row of a table.

use std::collections::BTreeMap;

use linkgate_core::config::tree::{Node, Tree};
use serde_json::Value;

use super::text::flow;

type Row = BTreeMap<String, Value>;

/// The tree with `<NAME>` filled in from the row. A text that is nothing else becomes the value as it is.
pub(super) fn filled(tree: &Tree, row: &Row) -> Tree {
    let node = match &tree.node {
        Node::Leaf { value, plain } => {
            let value = match value.as_str() {
                Some(text) if !row.is_empty() => fill(text, row),
                _ => value.clone(),
            };
            Node::Leaf {
                value,
                plain: *plain,
            }
        }
        Node::List(items) => Node::List(items.iter().map(|item| filled(item, row)).collect()),
        Node::Map(entries) => {
            // Sentences have names in them; the rows themselves stay as they are.
            let entry = |(key, value): &(String, Tree)| match key.as_str() {
                "examples" => (key.clone(), value.clone()),
                _ => (text(key, row), filled(value, row)),
            };
            Node::Map(entries.iter().map(entry).collect())
        }
    };
    Tree {
        span: tree.span,
        key: tree.key,
        node,
    }
}

/// The name of a case in its row: as it is filled in, or else with the first value of the row as it is written.
pub(super) fn named(name: &str, filled: &str, row: &Tree) -> String {
    match row.entries().next() {
        Some((first, value)) if name == filled => {
            format!("{name} ({first}: {})", flow(&value.value(), true))
        }
        _ => filled.to_owned(),
    }
}

fn fill(text_: &str, row: &Row) -> serde_yaml::Value {
    let whole = text_
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    match whole.and_then(|name| row.get(name)) {
        Some(value) => serde_yaml::to_value(value).unwrap_or_default(),
        None => text(text_, row).into(),
    }
}

fn text(text: &str, row: &Row) -> String {
    let mut filled = text.to_owned();
    for (name, value) in row {
        filled = filled.replace(&format!("<{name}>"), &plain(value));
    }
    filled
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
