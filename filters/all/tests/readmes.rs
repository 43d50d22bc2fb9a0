//! Every filter has a README whose table of config keys is made from its config struct.
//!
//! Between the two markers of `filters/NAME/README.md` nothing is written by hand. After a change of a config or of its
//! doc comments, `BLESS=1 cargo test -p linkgate-filters --test readmes` writes it anew, and begins the README of a new
//! filter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

const BEGIN: &str =
    "<!-- config: written by `BLESS=1 cargo test -p linkgate-filters --test readmes` -->\n";
const END: &str = "<!-- end of config -->\n";

/// The JSON schema of a config, with its definitions at hand.
struct Schema(Value);

impl Schema {
    /// The schema itself, or the definition that it refers to.
    fn follow<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => part,
        }
    }

    /// What a value may be, apart from `null`, which is written by leaving the key out.
    fn choices<'a>(&'a self, part: &'a Value) -> Vec<&'a Value> {
        let own = self.follow(part);
        match own["anyOf"].as_array().or(own["oneOf"].as_array()) {
            Some(choices) => choices.iter().flat_map(|one| self.choices(one)).collect(),
            None if own["type"] == "null" => Vec::new(),
            None => vec![own],
        }
    }

    /// The type as a person says it.
    fn kind(&self, part: &Value) -> String {
        if let Some(reference) = part["$ref"].as_str()
            && let name @ ("Duration" | "Size" | "Rate" | "Secret") = name_of(reference)
        {
            return name.to_lowercase();
        }
        if let Some(choices) = part["anyOf"].as_array() {
            let named = choices.iter().filter(|one| one["type"] != "null");
            return joined(named.map(|one| self.kind(one)));
        }
        joined(self.choices(part).into_iter().map(|one| self.plain(one)))
    }

    fn plain(&self, one: &Value) -> String {
        if let Some(value) = one.get("const") {
            return code(value);
        }
        if let Some(values) = one["enum"].as_array() {
            return joined(values.iter().map(code));
        }
        match &one["type"] {
            Value::Array(types) => {
                let given = types.iter().filter(|kind| *kind != "null");
                joined(given.map(|kind| noun(kind, one, self)))
            }
            kind => noun(kind, one, self),
        }
    }

    /// One row for each key of an object and, below it, for the keys of its values.
    fn rows(&self, object: &Value, prefix: &str, table: &mut String) {
        let Some(properties) = object["properties"].as_object() else {
            return;
        };
        for (name, part) in properties {
            let path = format!("{prefix}{name}");
            let text = part["description"]
                .as_str()
                .unwrap_or_else(|| panic!("`{path}` has no docs"));
            let required = object["required"]
                .as_array()
                .is_some_and(|required| required.iter().any(|key| key == name));
            let default = match (required, part.get("default")) {
                (true, _) => "required".to_owned(),
                (false, None | Some(Value::Null | Value::Object(_))) => String::new(),
                (false, Some(default)) => code(default),
            };
            let text = text.replace('|', "\\|").replace('\n', " ");
            writeln!(
                table,
                "| `{path}` | {} | {default} | {text} |",
                self.kind(part)
            )
            .unwrap();
            for one in self.choices(part) {
                self.rows(one, &format!("{path}."), table);
                self.rows(self.follow(&one["items"]), &format!("{path}[]."), table);
            }
        }
    }
}

fn name_of(reference: &str) -> &str {
    reference.rsplit(['/', '.']).next().unwrap_or(reference)
}

fn noun(kind: &Value, one: &Value, schema: &Schema) -> String {
    match kind.as_str() {
        Some("array") => format!("list of {}", schema.kind(&one["items"])),
        Some("object") => "mapping".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some(other) => other.to_owned(),
        None => panic!("no type in {one}"),
    }
}

fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    words.for_each(|word| {
        if !seen.contains(&word) {
            seen.push(word);
        }
    });
    seen.join(", ")
}

/// What stands between the markers.
fn table(schema: Value) -> String {
    let schema = Schema(schema);
    let mut rows = String::new();
    schema.rows(&schema.0, "", &mut rows);
    if rows.is_empty() {
        return "It has nothing to configure.\n".to_owned();
    }
    format!("| key | type | default | |\n|---|---|---|---|\n{rows}")
}

#[test]
fn readmes_are_up_to_date() {
    let bless = env::var_os("BLESS").is_some();
    let registry = linkgate_filters::all();
    let mut stale = Vec::new();
    for name in registry.names() {
        let schema = serde_json::to_value(registry.schema(name).unwrap()).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{name}/README.md"));
        let about = schema["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let actual = fs::read_to_string(&path).unwrap_or_default();
        let (before, after) = match (actual.split_once(BEGIN), actual.split_once(END)) {
            (Some((before, _)), Some((_, after))) => (before.to_owned(), after),
            _ => (format!("# {name}\n\n{about}\n\n## Config\n\n"), ""),
        };
        let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", table(schema));
        if actual != wanted {
            if bless {
                fs::write(&path, wanted).unwrap();
            } else {
                stale.push(format!("filters/{name}/README.md"));
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{} stale: BLESS=1 cargo test -p linkgate-filters --test readmes writes them anew",
        stale.join(", ")
    );
}
