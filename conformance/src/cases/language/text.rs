//! Values of a case as text and bytes, and back.

use base64::Engine;
use linkgate_core::config::tree::{Node, Tree};
use serde_json::Value;

use super::docs;

/// Bytes of a body.
const MOST_BYTES: usize = 16 << 20;

/// The bytes that are written.
pub(in crate::cases) fn bytes(body: &docs::Body) -> Result<Vec<u8>, String> {
    use docs::BodyForm::{Base64, Bytes, Hex, Json};
    match body {
        docs::Body::Text(text) => Ok(text.clone().into_bytes()),
        docs::Body::Number(number) => Ok(number.to_string().into_bytes()),
        docs::Body::Other(Hex(text)) => {
            unhex(text).ok_or_else(|| "these are no pairs of hexadecimal digits".into())
        }
        docs::Body::Other(Base64(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| format!("this is no base64: {error}")),
        docs::Body::Other(Json(value)) => Ok(value.to_string().into_bytes()),
        docs::Body::Other(Bytes(count)) if *count > MOST_BYTES => {
            Err(format!("{count} bytes are more than {MOST_BYTES}"))
        }
        docs::Body::Other(Bytes(count)) => Ok(vec![b'x'; *count]),
    }
}

/// Bytes from hexadecimal digits.
pub(in crate::cases) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// A step in one line, as it is shown.
pub(super) fn shown(tree: &Tree) -> String {
    match &tree.node {
        Node::Leaf { .. } => flow(&tree.value(), true),
        Node::Map(_) => {
            let parts = tree.entries().map(|(key, value)| {
                let value = flow(&value.value(), false);
                match value.as_str() {
                    "null" => key.to_owned(),
                    _ => format!("{key}: {value}"),
                }
            });
            parts.collect::<Vec<_>>().join("  ")
        }
        Node::List(_) => String::new(),
    }
}

/// A value in one line, as YAML has it.
pub(in crate::cases) fn flow(value: &Value, bare: bool) -> String {
    match value {
        Value::String(text) if bare || is_plain(text) => text.clone(),
        Value::Array(items) => {
            let items = items.iter().map(|item| flow(item, false));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| rank(key));
            let fields = fields
                .into_iter()
                .map(|(key, value)| format!("{}: {}", key_of(key), flow(value, false)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Where a field stands among others: what names a thing comes before what it says.
fn rank(key: &str) -> usize {
    let first = [
        "cmd", "kind", "status", "topic", "code", "key", "to", "body",
    ];
    first
        .iter()
        .position(|known| *known == key)
        .unwrap_or(first.len())
}

fn key_of(key: &str) -> String {
    match is_plain(key) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}

/// Whether a text needs no quotes in YAML.
fn is_plain(text: &str) -> bool {
    let starts = text.chars().next().is_some_and(|c| {
        let is_number = text.parse::<f64>().is_ok() || text.contains('_') || text.starts_with('0');
        c.is_ascii_alphabetic() || c.is_ascii_digit() && !is_number
    });
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./ ".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    starts && text.chars().all(plain) && !text.ends_with(' ') && !is_word
}
