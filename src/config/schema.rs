//! The JSON Schema of a document, with the schema of each filter's config under its name.

use linkgate_filter::Registry;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::document::Document;

/// The schema (draft 2020-12) as text, ending in a line break.
pub fn schema(registry: &Registry) -> String {
    let mut root = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value();
    let mut definitions = take_object(&mut root, "$defs");
    let mut choices = Vec::new();
    let mut partial_choices = Vec::new();
    for name in registry.names() {
        let Some(filter) = registry.get(name) else {
            continue;
        };
        let mut config = filter.schema().to_value();
        let place = format!("filter.{name}");
        for (inner, mut definition) in take_object(&mut config, "$defs") {
            point_at(&mut definition, &place);
            definitions.insert(format!("{place}.{inner}"), definition);
        }
        point_at(&mut config, &place);
        let required = remove(&mut config, "required").unwrap_or_else(|| json!([]));
        remove(&mut config, "$schema");
        definitions.insert(place.clone(), config);
        let config = json!({ "$ref": format!("#/$defs/{place}") });
        partial_choices.push(choice(name, &json!({ "properties": { "config": config } })));
        let mut whole = json!({ "properties": { "config": { "$ref": format!("#/$defs/{place}"), "required": required } } });
        if required.as_array().is_some_and(|keys| !keys.is_empty()) {
            whole["required"] = json!(["config"]);
        }
        choices.push(choice(name, &whole));
    }
    entries(&mut definitions, registry, choices, partial_choices);
    root["properties"]["profiles"]["additionalProperties"]["items"] =
        json!({ "$ref": "#/$defs/ProfileEntry" });
    root["$defs"] = Value::Object(definitions);
    format!("{root:#}\n")
}

/// Which config an entry has depends on what it uses. In a profile it may lack keys, which overrides add.
fn entries(
    definitions: &mut Map<String, Value>,
    registry: &Registry,
    choices: Vec<Value>,
    partial_choices: Vec<Value>,
) {
    let Some(mut entry) = definitions.remove("Entry") else {
        return;
    };
    entry["properties"]["use"]["enum"] = registry.names().collect();
    let mut in_profile = entry.clone();
    entry["allOf"] = Value::Array(choices);
    in_profile["allOf"] = Value::Array(partial_choices);
    definitions.insert("Entry".to_owned(), entry);
    definitions.insert("ProfileEntry".to_owned(), in_profile);
}

fn choice(name: &str, then: &Value) -> Value {
    json!({ "if": { "properties": { "use": { "const": name } } }, "then": then })
}

fn take_object(value: &mut Value, key: &str) -> Map<String, Value> {
    match remove(value, key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn remove(value: &mut Value, key: &str) -> Option<Value> {
    value.as_object_mut()?.remove(key)
}

/// Makes references to a schema's own definitions refer to where they are put.
fn point_at(value: &mut Value, place: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        *reference = reference.replace("#/$defs/", &format!("#/$defs/{place}."));
                    }
                    value => point_at(value, place),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| point_at(value, place)),
        _ => {}
    }
}
