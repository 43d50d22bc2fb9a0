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
        let Some(schema) = registry.schema(name) else {
            continue;
        };
        let required = define(name, schema.to_value(), &mut definitions);
        let config = json!({ "$ref": format!("#/$defs/filter.{name}") });
        partial_choices.push(choice(name, json!({ "properties": { "config": config } })));
        choices.push(choice(name, whole(config, required)));
    }
    entries(&mut definitions, registry, &choices, &partial_choices);
    root["properties"]["profiles"]["additionalProperties"]["items"] =
        json!({ "$ref": "#/$defs/ProfileEntry" });
    root["$defs"] = Value::Object(definitions);
    tidy(&mut root);
    format!("{root:#}\n")
}

/// Puts the schema of a filter's config among the definitions, without the keys it requires: those are answered.
fn define(name: &str, mut config: Value, definitions: &mut Map<String, Value>) -> Option<Value> {
    let place = format!("filter.{name}");
    for (inner, mut definition) in take_object(&mut config, "$defs") {
        point_at(&mut definition, &place);
        definitions.insert(format!("{place}.{inner}"), definition);
    }
    point_at(&mut config, &place);
    remove(&mut config, "$schema");
    let required = remove(&mut config, "required");
    definitions.insert(place, config);
    required
}

/// A config with all the keys it requires, if it requires any.
fn whole(mut config: Value, required: Option<Value>) -> Value {
    match required {
        Some(required) => {
            config["required"] = required;
            json!({ "properties": { "config": config }, "required": ["config"] })
        }
        None => json!({ "properties": { "config": config } }),
    }
}

/// Which config an entry has depends on what it uses. In a profile it may lack keys, which overrides add.
fn entries(
    definitions: &mut Map<String, Value>,
    registry: &Registry,
    choices: &[Value],
    partial_choices: &[Value],
) {
    let Some(mut entry) = definitions.remove("Entry") else {
        return;
    };
    entry["properties"]["use"]["enum"] = registry.names().collect();
    let mut in_profile = entry.clone();
    entry["allOf"] = choices.into();
    in_profile["allOf"] = partial_choices.into();
    definitions.insert("Entry".to_owned(), entry);
    definitions.insert("ProfileEntry".to_owned(), in_profile);
}

fn choice(name: &str, then: Value) -> Value {
    let uses = json!({ "properties": { "use": { "const": name } }, "required": ["use"] });
    Value::Object(Map::from_iter([
        ("if".to_owned(), uses),
        ("then".to_owned(), then),
    ]))
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

/// Lets references like `${VAR}` stand where a text has to have a form, and leaves out defaults that say nothing.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| key != "default" || !value.is_null());
            if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                *pattern = format!(r"{pattern}|\$\{{");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
