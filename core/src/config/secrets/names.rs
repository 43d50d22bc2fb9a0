//! Which keys hold secrets.

use std::collections::BTreeSet;

use linkgate_filter::problem::nearest;
use serde_json::Value;

use super::{Hidden, is_elsewhere, password_in_url};
use crate::config::describe::variants;
use crate::config::tree::{Node, Tree};

/// Last words of keys that hold secrets whatever the schemas say: the schemas know neither the properties of librdkafka
/// nor how somebody misspells a key, and what a filter takes as plain text may be a secret all the same.
const WORDS: [&str; 9] = [
    "secret",
    "token",
    "password",
    "passphrase",
    "credential",
    "jwks",
    "passwd",
    "pass",
    "pwd",
];
/// A key of these kinds is secret; other keys are those of messages, or public.
const KEYS: [&str; 8] = [
    "private",
    "secret",
    "api",
    "shared",
    "access",
    "signing",
    "sealing",
    "encryption",
];
/// Secrets by their schema, but only the password before the `@` is one, and that is found by its looks.
const URLS: [&str; 4] = ["url", "urls", "master_url", "cluster"];

/// The keys that hold secrets.
#[derive(Clone, Default)]
pub(in crate::config) struct Names(BTreeSet<String>);

impl Names {
    /// Adds the keys whose values are secrets by their JSON Schema.
    pub(in crate::config) fn learn(&mut self, schema: &Value) {
        self.learn_below(schema, schema);
    }

    fn learn_below(&mut self, root: &Value, here: &Value) {
        match here {
            Value::Object(fields) => {
                let properties = fields.get("properties").and_then(Value::as_object);
                for (name, property) in properties.into_iter().flatten() {
                    let items = variants(root, property).filter_map(|variant| variant.get("items"));
                    let secret = std::iter::once(property)
                        .chain(items)
                        .flat_map(|value| variants(root, value))
                        .any(|variant| variant["format"] == "password");
                    if secret && !URLS.contains(&name.as_str()) {
                        self.0.insert(name.clone());
                    }
                }
                fields
                    .values()
                    .for_each(|value| self.learn_below(root, value));
            }
            Value::Array(list) => list.iter().for_each(|value| self.learn_below(root, value)),
            _ => {}
        }
    }

    /// Whether the value of this key is a secret.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        let lower = key.to_lowercase();
        let words: Vec<&str> = lower.split(['.', '_', '-']).collect();
        let Some((last, before)) = words.split_last() else {
            return false;
        };
        let one = last.strip_suffix('s').unwrap_or(last);
        let is_key = *last == "key" || (*last == "pem" && before.last() == Some(&"key"));
        let kind = before
            .iter()
            .any(|word| KEYS.contains(word) || *word == "ssl");
        let near = || nearest(last, WORDS.into_iter().filter(|word| word.len() > 4)).is_some();
        self.0.contains(key)
            || WORDS.contains(last)
            || WORDS.contains(&one)
            || is_key && (kind || before.is_empty())
            || last.len() > 4 && near()
    }

    /// Notes every secret that was written in place.
    pub(in crate::config) fn hide_in(&self, tree: &Tree, hidden: &mut Hidden) {
        self.hide_below(tree, false, hidden);
    }

    fn hide_below(&self, tree: &Tree, secret: bool, hidden: &mut Hidden) {
        match &tree.node {
            Node::List(items) => items
                .iter()
                .for_each(|item| self.hide_below(item, secret, hidden)),
            Node::Map(entries) => entries
                .iter()
                .for_each(|(key, value)| self.hide_below(value, self.has(key), hidden)),
            Node::Leaf { value, .. } => {
                let number = value.is_number().then(|| {
                    let shown = serde_yaml::to_string(value).unwrap_or_default();
                    shown.trim().to_owned()
                });
                let Some(text) = value.as_str().or(number.as_deref()) else {
                    return;
                };
                if secret && !is_elsewhere(text) {
                    hidden.hide(text, Hidden::SECRET);
                }
                for word in text.split_whitespace() {
                    if let Some(password) = password_in_url(word) {
                        hidden.hide(&word[password], Hidden::SECRET);
                    }
                }
            }
        }
    }
}
