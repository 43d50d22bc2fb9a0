//! Serde's error messages in the words of somebody who writes YAML.

use super::{Mark, nearest};

/// What an error message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// A key that has to be there is not.
    MissingKey(String),
    /// A key that means nothing here.
    UnknownKey {
        /// As written.
        key: String,
        /// What would mean something.
        known: Vec<String>,
    },
    /// A name out of a fixed set, wrong.
    UnknownVariant {
        /// As written.
        name: String,
        /// The name, if it was written as the key of a mapping.
        key: Option<String>,
        /// The fixed set.
        known: Vec<String>,
    },
    /// Everything else.
    Other {
        /// What is wrong.
        message: String,
        /// How to mend it.
        hint: Option<String>,
    },
}

impl Cause {
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::MissingKey(_) | Self::UnknownKey { .. } => Mark::Key,
            Self::UnknownVariant { key: Some(_), .. } => Mark::Key,
            Self::UnknownVariant { key: None, .. } | Self::Other { .. } => Mark::Value,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::MissingKey(key) => format!("`{key}` is missing"),
            Self::UnknownKey { key, .. } => format!("unknown key `{key}`"),
            Self::UnknownVariant {
                name, key: None, ..
            } => format!("unknown value `{name}`"),
            Self::UnknownVariant { name, .. } => format!("unknown kind `{name}`"),
            Self::Other { message, .. } => message.clone(),
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::MissingKey(key) => Some(format!("add `{key}: ...`")),
            Self::UnknownKey { key: word, known } => Some(match known.as_slice() {
                [] => "nothing can be set here: remove it".to_owned(),
                known => suggestion(word, known, "keys understood here"),
            }),
            Self::UnknownVariant { name, known, .. } => {
                Some(suggestion(name, known, "understood here"))
            }
            Self::Other { hint, .. } => hint.clone(),
        }
    }
}

/// The key that a message of [`Cause::MissingKey`] is about.
pub(super) fn missing_key(message: &str) -> Option<&str> {
    message.strip_prefix('`')?.strip_suffix("` is missing")
}

/// The hint of a word that is near another.
pub(super) fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

fn suggestion(word: &str, known: &[String], label: &str) -> String {
    match nearest(word, known.iter().map(String::as_str)) {
        Some(near) => did_you_mean(near),
        None => {
            let quoted: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("{label}: {}", quoted.join(", "))
        }
    }
}

/// Reads serde's `message`; `only_key` is the key of the mapping it is about, where that has just one.
pub(super) fn explain(message: &str, only_key: Option<&str>) -> Cause {
    if let Some(rest) = message.strip_prefix("missing field ") {
        return Cause::MissingKey(quoted(rest).into_iter().next().unwrap_or_default());
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (key, known) = word_and_known(rest);
        return Cause::UnknownKey { key, known };
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (name, known) = word_and_known(rest);
        let key = only_key.filter(|key| *key == name).map(str::to_owned);
        return Cause::UnknownVariant { name, key, known };
    }
    if message.ends_with(", expected newtype variant")
        || message.ends_with(", expected struct variant")
    {
        return Cause::Other {
            message: "this name alone says too little".to_owned(),
            hint: Some("write it as a key, with its settings below it: `name: { ... }`".to_owned()),
        };
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length: "] {
        let parts = message
            .strip_prefix(prefix)
            .and_then(|rest| rest.rsplit_once(", expected "));
        if let Some((found, wanted)) = parts {
            let hint = shape_hint(wanted, found).map(str::to_owned);
            let message = format!(
                "expected {}, found {}",
                expected(wanted),
                self::found(found)
            );
            return Cause::Other { message, hint };
        }
    }
    if message == "invalid socket address syntax" {
        return Cause::Other {
            message: "this is not an IP address with a port".to_owned(),
            hint: Some("write it as `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`".to_owned()),
        };
    }
    // What is expected is how to mend it.
    let (message, hint) = match message.split_once(": expected ") {
        Some((message, wanted)) => (message, Some(format!("write {wanted}"))),
        None => (message, None),
    };
    Cause::Other {
        message: message.to_owned(),
        hint,
    }
}

/// How to write the shape that is wanted.
fn shape_hint(wanted: &str, found: &str) -> Option<&'static str> {
    let wants = expected(wanted);
    match (wants.as_str(), found) {
        (_, "null" | "unit value" | "Option value") => Some("give the key a value, or remove it"),
        ("text", found) if is_plain(found) => Some("quote it to make it text"),
        ("a list", "map") => Some("begin each element with `- `"),
        ("a list", _) => Some("put it in brackets: `[...]`"),
        ("a mapping", "sequence") => Some("write `key: value` lines, without `- ` in front"),
        ("a mapping", _) => Some("write `key: value` lines below the key"),
        _ => None,
    }
}

/// ``` `x`, expected one of `a`, `b` ```
fn word_and_known(rest: &str) -> (String, Vec<String>) {
    let (word, known) = rest
        .rsplit_once(", expected ")
        .or_else(|| rest.rsplit_once(", there are no "))
        .unwrap_or((rest, ""));
    (word.trim_matches('`').to_owned(), quoted(known))
}

/// Everything between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether serde read a number or a boolean.
fn is_plain(found: &str) -> bool {
    ["integer ", "floating point ", "boolean "]
        .iter()
        .any(|kind| found.starts_with(kind))
}

fn found(found: &str) -> String {
    match found {
        "null" | "unit value" | "Option value" => return "nothing".to_owned(),
        "sequence" => return "a list".to_owned(),
        "map" => return "a mapping".to_owned(),
        _ => {}
    }
    for kind in ["integer ", "floating point "] {
        if let Some(number) = found.strip_prefix(kind) {
            return format!("the number {number}");
        }
    }
    match found.strip_prefix("boolean ") {
        Some(boolean) => boolean.to_owned(),
        None => match found.strip_prefix("string ") {
            Some(text) => format!("the text {text}"),
            None => found.to_owned(),
        },
    }
}

fn expected(wanted: &str) -> String {
    let whole = |bits: u32| format!("a whole number from 0 to {}", (1_u128 << bits) - 1);
    match wanted {
        "u8" => whole(8),
        "u16" => whole(16),
        "u32" => whole(32),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "a borrowed string" | "str" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "string or map" | "map with a single key" => {
            "one name, or a mapping with one key".to_owned()
        }
        struct_name if struct_name.starts_with("struct ") => "a mapping".to_owned(),
        enum_name if enum_name.starts_with("enum ") => {
            "one name, or a mapping with one key".to_owned()
        }
        other => other.to_owned(),
    }
}
