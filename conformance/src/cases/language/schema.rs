//! The JSON Schema of a case file: a step is one of the sentences, with the schema of what stands behind it.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::docs;

/// The schema (draft 2020-12) as text, ending in a line break.
pub fn schema() -> String {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let step = step(&mut generator);
    let mut root = generator.into_root_schema_for::<docs::File>().to_value();
    root["$defs"]["Step"] = step;
    let steps = json!({ "type": "array", "items": { "$ref": "#/$defs/Step" } });
    for (of, list) in [
        ("/properties/allow", &steps),
        ("/$defs/Case/properties/allow", &steps),
        ("/$defs/Case/properties/steps", &steps),
    ] {
        if let Some(place) = root.pointer_mut(of) {
            let description = place.get("description").cloned();
            *place = list.clone();
            if let Some(description) = description {
                place["description"] = description;
            }
        }
    }
    let mut definitions = std::mem::take(&mut root["$defs"]);
    for (name, definition) in definitions.as_object_mut().into_iter().flatten() {
        if name != "Case" {
            fillable(definition);
        }
    }
    definitions["Filled"] = json!({
        "description": "Filled in from the row of `examples`.",
        "type": "string",
        "pattern": "<[^>]+>",
    });
    root["$defs"] = definitions;
    format!("{root:#}\n")
}

/// Lets every field be filled in from examples.
fn fillable(schema: &mut Value) {
    for fields in ["properties", "patternProperties"] {
        let fields = schema.get_mut(fields).and_then(Value::as_object_mut);
        for (_, field) in fields.into_iter().flatten() {
            let own = field.take();
            let mut either = json!({ "anyOf": [own, { "$ref": "#/$defs/Filled" }] });
            if let Some(description) = either["anyOf"][0].get("description").cloned() {
                either["description"] = description;
            }
            *field = either;
        }
    }
    for choices in ["anyOf", "oneOf"] {
        let choices = schema.get_mut(choices).and_then(Value::as_array_mut);
        choices.into_iter().flatten().for_each(fillable);
    }
}

fn step(generator: &mut SchemaGenerator) -> Value {
    let name = r"[^\s]+";
    let mut patterns = serde_json::Map::new();
    let mut add = |sentence: &str, schema: Value| {
        patterns.insert(format!("^{}$", sentence.replace("NAME", name)), schema);
    };
    let mut one = |pair: (&str, Value)| add(pair.0, pair.1);
    macro_rules! sentences {
        ($($sentence:literal => $doc:ty),* $(,)?) => {
            $(one(($sentence, generator.subschema_for::<$doc>().to_value()));)*
        };
    }
    sentences! {
        "NAME (re)?connects" => Option<docs::Connect>,
        "NAME sends" => docs::OneOrMany<docs::Message>,
        "NAME sends text" => String,
        "NAME sends binary" => docs::BodyForm,
        "NAME acknowledges" => docs::OneOrMany<String>,
        "NAME closes" => u16,
        "NAME receives" => docs::SeenMessage,
        "NAME receives text" => String,
        "NAME receives binary" => docs::SeenBody,
        "NAME is closed" => docs::SeenClose,
        "(?!config )NAME is refused" => docs::SeenRefusal,
        "backend NAME receives" => docs::SeenCall,
        "backend NAME receives batch" => Vec<docs::SeenCall>,
        "backend NAME receives reports" => Option<Vec<docs::SeenReport>>,
        "backend NAME receives presence" => Option<Vec<docs::SeenPresence>>,
        "broker NAME receives" => docs::SeenRecord,
        "broker NAME fails" => docs::Trouble,
        "broker NAME gets" => docs::Record,
        "store NAME fails" => docs::Trouble,
        "push" => docs::Push,
        "push NAME ends" => std::collections::BTreeMap<String, docs::SeenOutcome>,
        "push NAME fails" => docs::SeenFault,
        "time passes" => linkgate_filter::units::HumanDuration,
        "config changes to" => docs::OneOrMany<String>,
        "config is refused" => docs::OneOrMany<String>,
        "node stops" => linkgate_filter::units::HumanDuration,
        "faults" => std::collections::BTreeMap<String, std::collections::BTreeMap<String, u64>>,
        "metrics change" => std::collections::BTreeMap<String, f64>,
        "answers" => docs::OneOrMany<docs::Answer>,
        "fails" => docs::Fails,
        "times" => u32,
        "after" => linkgate_filter::units::HumanDuration,
        "never (answers|confirms)" => (),
    }
    one((
        "in any order",
        json!({ "type": "array", "items": { "$ref": "#/$defs/Step" } }),
    ));
    json!({
        "description": "A sentence: something is done, or something is seen.",
        "anyOf": [
            { "type": "string", "pattern": format!(
                "^({name} (re)?connects|{name} disconnects|{name} closes|{name} stops reading|{name} reads again|\
                 backend {name} receives (reports|presence)|backend {name} goes away|backend {name} comes back|(broker|store) {name} (fails|recovers)|nothing happens)$"
            ) },
            { "type": "object", "patternProperties": patterns, "additionalProperties": false, "minProperties": 1 },
        ],
    })
}
