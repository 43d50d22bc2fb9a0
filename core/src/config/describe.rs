//! What the docs say of a key: the description in its JSON Schema, for hints.

use linkgate_filter::problem::{Path, Problem, Segment};
use serde_json::Value;

/// The hint of a problem; that of a missing key says what the key is for, as `schema` describes it.
pub(super) fn hint(problem: &Problem, schema: &Value) -> Option<String> {
    let described = problem
        .missing_key()
        .and_then(|key| Some((key, description(schema, &problem.path, key)?)));
    match described {
        Some((key, description)) => Some(format!("add `{key}: ...`. {description}")),
        None => problem.hint.clone(),
    }
}

/// The description of `key` in the mapping at `path`.
fn description(schema: &Value, path: &Path, key: &str) -> Option<String> {
    let mapping = path
        .segments()
        .iter()
        .try_fold(schema, |here, segment| step(schema, here, segment))?;
    let property = variants(schema, mapping).find_map(|variant| variant["properties"].get(key))?;
    let description =
        variants(schema, property).find_map(|variant| variant["description"].as_str())?;
    Some(description.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The words that may stand at `path`, if only some may.
pub(super) fn words<'a>(schema: &'a Value, path: &Path) -> Vec<&'a str> {
    let mut segments = path.segments().iter();
    let here = segments.try_fold(schema, |here, segment| step(schema, here, segment));
    let variants = here.into_iter().flat_map(|here| variants(schema, here));
    let words = |variant: &'a Value| {
        let listed = variant["enum"].as_array().into_iter().flatten();
        listed.chain(variant.get("const")).filter_map(Value::as_str)
    };
    variants.flat_map(words).collect()
}

/// The schema of what stands at `segment` of what `here` describes.
fn step<'a>(root: &'a Value, here: &'a Value, segment: &Segment) -> Option<&'a Value> {
    variants(root, here).find_map(|variant| match segment {
        Segment::Key(key) => variant["properties"].get(key).or_else(|| {
            variant
                .get("additionalProperties")
                .filter(|schema| schema.is_object())
        }),
        Segment::Index(_) => variant.get("items"),
    })
}

/// A schema, what it refers to, and its alternatives. Schemas of the configuration refer to nothing that holds them.
pub(super) fn variants<'a>(
    root: &'a Value,
    schema: &'a Value,
) -> Box<dyn Iterator<Item = &'a Value> + 'a> {
    let reference = schema["$ref"]
        .as_str()
        .and_then(|reference| root["$defs"].get(reference.strip_prefix("#/$defs/")?));
    let alternatives = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten();
    let below = reference
        .into_iter()
        .chain(alternatives)
        .flat_map(|below| variants(root, below));
    Box::new(std::iter::once(schema).chain(below))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_key_is_described_wherever_its_schema_is() {
        let schema = json!({
            "properties": {
                "retry": { "anyOf": [{ "$ref": "#/$defs/Retry" }, { "type": "null" }] },
                "named": { "additionalProperties": { "items": { "$ref": "#/$defs/Retry" } } },
            },
            "$defs": { "Retry": { "properties": { "max": { "description": "The most.\nAt least 1." } } } },
        });
        for path in [Path::from("retry"), Path::from(["named", "any"]).then(3)] {
            assert_eq!(
                description(&schema, &path, "max").unwrap(),
                "The most. At least 1."
            );
            assert_eq!(description(&schema, &path, "other"), None);
        }
        assert_eq!(description(&schema, &Path::from("gone"), "max"), None);
    }
}
