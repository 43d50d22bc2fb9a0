//! What a document means, as one number: equal for the same keys and values in any order, form and place.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;

use super::tree::Tree;

/// Sections that are a node's own: nodes that do the same may differ in them.
const OWN: [&str; 3] = ["node", "admin", "config"];

/// Gathers what the documents of one text mean.
pub(super) struct Meaning(Context);

impl Default for Meaning {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Meaning {
    /// Adds a document as it is written: references are not filled in, so that nodes that fill them in with their own
    /// values mean the same.
    pub(super) fn add(&mut self, tree: &Tree) {
        self.0.update(b"---");
        let mut entries: Vec<_> = tree.entries().collect();
        entries.retain(|(key, _)| !OWN.contains(key));
        entries.sort_by_key(|(key, _)| *key);
        for (key, value) in entries {
            self.text("k", key);
            self.value(&value.value());
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.text("0", ""),
            Value::Bool(is) => self.text("b", if *is { "true" } else { "false" }),
            Value::Number(number) => self.text("n", &number.to_string()),
            Value::String(text) => self.text("s", text),
            Value::Array(items) => {
                self.text("[", &items.len().to_string());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(entries) => {
                self.text("{", &entries.len().to_string());
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                for (key, value) in sorted {
                    self.text("k", key);
                    self.value(value);
                }
            }
        }
    }

    /// With its length, so that no two sequences of texts look alike.
    fn text(&mut self, kind: &str, text: &str) {
        self.0.update(kind.as_bytes());
        self.0.update(&text.len().to_be_bytes());
        self.0.update(text.as_bytes());
    }

    pub(super) fn hash(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// In the digits 0 to f.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What several texts mean together, by name and what each means.
pub(super) fn of_all(texts: &[(&std::ffi::OsStr, &str)]) -> String {
    let mut all = Meaning::default();
    for (name, hash) in texts {
        all.text("d", &name.to_string_lossy());
        all.text("h", hash);
    }
    all.hash()
}
