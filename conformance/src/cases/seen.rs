//! What was seen, laid beside what a case says of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linkgate_proto::v1;
use serde_json::{Map, Value, json};

use super::language::Place;
use super::language::unhex;

/// Bytes as a value: a text where they are one, or else in hexadecimal digits.
pub fn bytes_value(bytes: &[u8]) -> Value {
    const LONG: usize = 64;
    if bytes.len() >= LONG && bytes.iter().all(|byte| *byte == b'x') {
        return json!({ "bytes": bytes.len() });
    }
    let is_text = |text: &&str| {
        !text
            .chars()
            .any(|c| c.is_control() && !"\n\t\r".contains(c))
    };
    match std::str::from_utf8(bytes).ok().filter(is_text) {
        Some(text) => text.into(),
        None => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            json!({ "hex": digits.collect::<String>() })
        }
    }
}

/// The bytes of such a value.
fn value_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(form) => match form.get("bytes") {
            Some(count) => Some(vec![b'x'; usize::try_from(count.as_u64()?).ok()?]),
            None => unhex(form.get("hex")?.as_str()?),
        },
        _ => None,
    }
}

/// A message as a value.
pub fn message_value(message: &v1::Message) -> Value {
    let mut value = json!({
        "cmd": message.cmd().as_str_name(),
        "key": message.key,
        "body": bytes_value(&message.body),
    });
    if let Some(fault) = &message.fault {
        value["fault"] = fault_value(fault);
    }
    value
}

/// A fault as a value.
pub fn fault_value(fault: &v1::Fault) -> Value {
    json!({
        "code": fault.code,
        "source": fault.source().as_str_name(),
        "retryable": fault.retryable,
        "retry_after_ms": fault.retry_after_ms,
        "effect": fault.effect().as_str_name(),
        "detail": fault.detail,
    })
}

/// Fields that have to be stated, and are empty where they are not.
fn strict(at: &Place) -> &'static [&'static str] {
    match at {
        Place::Message(_) => &["cmd", "key", "body", "fault"],
        Place::Frame(_) => &["text", "binary"],
        Place::Closed(_) => &["code"],
        Place::Refused(_) => &["status"],
        Place::Call(_) => &["key", "body"],
        Place::Batch(_) | Place::Reports(_) | Place::Presence(_) => &[],
        Place::Record(_) => &["topic", "key", "body"],
        Place::Ended(_) => &["outcomes", "fault"],
    }
}

/// Those of the parts of what was seen at once.
fn strict_parts(at: &Place) -> Option<(&'static str, &'static [&'static str])> {
    match at {
        Place::Batch(_) => Some(("items", &["key", "body"])),
        Place::Reports(_) => Some(("reports", &["key", "receiver_id", "status"])),
        Place::Presence(_) => Some(("events", &["kind", "user_id"])),
        _ => None,
    }
}

/// How what was seen differs from what is stated; `None` if it does not.
pub fn difference(at: &Place, stated: &Value, seen: &Value) -> Option<String> {
    if let Some((list, fields)) = strict_parts(at) {
        // Without a value: whatever they are.
        if stated[list].is_null() {
            return None;
        }
        let empty = Vec::new();
        let all = |value: &Value| value[list].as_array().unwrap_or(&empty).clone();
        let (stated, seen) = (all(stated), all(seen));
        if stated.len() != seen.len() {
            return Some(format!(
                "there are {} of them, not {}",
                seen.len(),
                stated.len()
            ));
        }
        let mut pairs = stated.iter().zip(&seen).enumerate();
        return pairs.find_map(|(i, (stated, seen))| {
            let what = fields_differ(fields, stated, seen)?;
            Some(format!("number {}: {what}", i + 1))
        });
    }
    fields_differ(strict(at), stated, seen)
}

fn fields_differ(fields: &[&str], stated: &Value, seen: &Value) -> Option<String> {
    let (Some(stated), Some(seen)) = (stated.as_object(), seen.as_object()) else {
        return differs("it", stated, seen);
    };
    // The fields that say what it is come first.
    let main = fields
        .iter()
        .filter_map(|field| stated.get_key_value(*field));
    let rest = stated
        .iter()
        .filter(|(field, _)| !fields.contains(&field.as_str()));
    let differs = main.chain(rest).find_map(|(field, stated)| {
        let seen = seen.get(field).unwrap_or(&Value::Null);
        differs(field, stated, seen)
    });
    differs.or_else(|| {
        let mut unstated = fields.iter().filter(|field| !stated.contains_key(**field));
        unstated.find_map(|field| {
            let value = seen.get(*field).filter(|value| !is_empty(value))?;
            Some(format!("`{field}` is not stated: it is {}", shown(value)))
        })
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Fields that hold bytes, which may be stated in any form.
const BYTES: &[&str] = &["key", "body", "binary"];

/// How the value of a field differs.
fn differs(field: &str, stated: &Value, seen: &Value) -> Option<String> {
    let is = || {
        Some(format!(
            "`{field}` is {}, not {}",
            shown(seen),
            shown(stated)
        ))
    };
    let last = field.rsplit('.').next().unwrap_or(field);
    if BYTES.contains(&last) || field.starts_with("headers.") {
        if field.starts_with("headers.") && seen.is_null() {
            return Some(format!("there is no `{field}`"));
        }
        return bytes_differ(stated, seen).map(|why| format!("`{field}` {why}"));
    }
    match (field, stated) {
        (_, stated) if is_empty(stated) => {
            if is_empty(seen) {
                None
            } else {
                is()
            }
        }
        // A fault, an outcome, by its main part alone.
        (_, Value::String(code)) if is_fault(field, seen) => {
            let seen = seen["code"].as_str();
            (seen != Some(code))
                .then(|| format!("`{field}` is {}, not {code}", seen.unwrap_or("none")))
        }
        ("outcomes", Value::Object(stated)) => outcomes_differ(stated, seen),
        (_, Value::Object(_)) if seen.is_null() => is(),
        (_, Value::Object(stated)) => {
            let mut fields = stated.iter();
            fields.find_map(|(name, stated)| {
                let seen = seen.get(name).unwrap_or(&Value::Null);
                differs(&format!("{field}.{name}"), stated, seen)
            })
        }
        // Numbers may be written as texts by JSON's mapping, and names as numbers by people.
        (_, stated) => match (scalar(stated), scalar(seen)) {
            (Some(stated), Some(seen)) if stated == seen => None,
            // JSON's mapping leaves out what is 0.
            (Some(stated), None) if seen.is_null() && (stated == "0" || stated == "false") => None,
            _ => is(),
        },
    }
}

/// Whether a field holds a fault, which may be stated by its code alone; the reason of a close is a text.
fn is_fault(field: &str, seen: &Value) -> bool {
    field == "fault" || (field == "reason" || field.ends_with(".reason")) && !seen.is_string()
}

fn outcomes_differ(stated: &Map<String, Value>, seen: &Value) -> Option<String> {
    let empty = Map::new();
    let seen = seen.as_object().unwrap_or(&empty);
    if let Some(user) = seen.keys().find(|user| !stated.contains_key(*user)) {
        return Some(format!("the outcome of `{user}` is not stated"));
    }
    stated.iter().find_map(|(user, stated)| {
        let Some(seen) = seen.get(user) else {
            return Some(format!("there is no outcome for `{user}`"));
        };
        match stated {
            Value::String(status) => {
                let was = seen["status"].as_str().unwrap_or("none");
                let code = seen["reason"]["code"].as_str();
                let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
                (was != status).then(|| format!("`{user}` is {was}{code}, not {status}"))
            }
            stated => differs(user, stated, seen),
        }
    })
}

/// How bytes differ from those that are stated, in whichever form.
fn bytes_differ(stated: &Value, seen: &Value) -> Option<String> {
    let bytes = value_bytes(seen).unwrap_or_default();
    let is = || Some(format!("is {}, not {}", shown(seen), shown(stated)));
    let Value::Object(form) = stated else {
        return if scalar(stated).unwrap_or_default().into_bytes() == bytes {
            None
        } else {
            is()
        };
    };
    let (name, value) = form.iter().next()?;
    let wanted = match name.as_str() {
        "any" => return None,
        "hex" => value.as_str().and_then(unhex),
        "base64" => value.as_str().and_then(|text| STANDARD.decode(text).ok()),
        "bytes" => value
            .as_u64()
            .map(|n| vec![b'x'; usize::try_from(n).unwrap_or(0)]),
        name => {
            let Ok(seen) = serde_json::from_slice::<Value>(&bytes) else {
                return Some(format!("is no JSON: {}", shown(seen)));
            };
            return match name {
                "json" => (seen != *value).then(|| format!("is {seen}, not {value}")),
                _ => lacks("it", value, &seen).map(|why| format!("lacks something: {why}")),
            };
        }
    };
    if wanted.as_ref() == Some(&bytes) {
        None
    } else {
        is()
    }
}

/// What JSON lacks of what is stated: fields of objects may be left out, all else is as it is.
fn lacks(at: &str, stated: &Value, seen: &Value) -> Option<String> {
    match (stated, seen) {
        (Value::Object(stated), Value::Object(seen)) => stated.iter().find_map(|(name, stated)| {
            let at = format!("{at}.{name}");
            match seen.get(name) {
                Some(seen) => lacks(&at, stated, seen),
                None => Some(format!("there is no `{at}`")),
            }
        }),
        (Value::Array(stated), Value::Array(seen)) if stated.len() == seen.len() => {
            let mut pairs = stated.iter().zip(seen).enumerate();
            pairs.find_map(|(n, (stated, seen))| lacks(&format!("{at}[{n}]"), stated, seen))
        }
        (stated, seen) if stated == seen => None,
        (stated, seen) => Some(format!("`{at}` is {seen}, not {stated}")),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

/// A value in one line, not longer than a line.
pub fn shown(value: &Value) -> String {
    shortened(&super::language::flow(value, false), 120)
}

/// A text that is not longer than so many characters.
pub fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stated: &Value, seen: &Value) -> Option<String> {
        difference(&Place::Message("ann".into()), stated, seen)
    }

    #[test]
    fn what_is_not_stated_has_to_be_empty() {
        let seen = json!({ "cmd": "UPSTREAM_ACK", "key": "m-1", "body": "hi" });
        let stated = json!({ "cmd": "UPSTREAM_ACK", "key": "m-1" });
        assert_eq!(
            message(&stated, &seen).unwrap(),
            "`body` is not stated: it is hi"
        );
        let empty = json!({ "cmd": "UPSTREAM_ACK", "key": "m-1", "body": "" });
        assert_eq!(message(&stated, &empty), None);
        let more = json!({ "cmd": "UPSTREAM_ACK", "key": "m-1", "body": "hi", "fault": "a.b" });
        assert_eq!(message(&more, &seen).unwrap(), "`fault` is none, not a.b");
    }

    #[test]
    fn a_fault_is_compared_as_far_as_it_is_stated() {
        let fault = json!({ "code": "a.b", "retryable": true, "retry_after_ms": 250 });
        let seen = json!({ "cmd": "UPSTREAM_NACK", "fault": fault });
        let stated = |fault| json!({ "cmd": "UPSTREAM_NACK", "fault": fault });
        assert_eq!(message(&stated(json!("a.b")), &seen), None);
        let some = json!({ "code": "a.b", "retry_after_ms": 250 });
        assert_eq!(message(&stated(some), &seen), None);
        let other = json!({ "code": "a.b", "retryable": false });
        assert_eq!(
            message(&stated(other), &seen).unwrap(),
            "`fault.retryable` is true, not false"
        );
    }

    #[test]
    fn bytes_are_compared_in_any_form() {
        let seen = |bytes: &[u8]| json!({ "cmd": "X", "body": bytes_value(bytes) });
        let stated = |body| json!({ "cmd": "X", "body": body });
        assert_eq!(
            message(&stated(json!({ "hex": "68 69" })), &seen(b"hi")),
            None
        );
        assert_eq!(
            message(&stated(json!({ "base64": "/w==" })), &seen(b"\xff")),
            None
        );
        assert!(message(&stated(json!("hi")), &seen(b"\xff")).is_some());
        let json_ = json!({ "json": { "a": [1, 2] } });
        assert_eq!(message(&stated(json_), &seen(b"{ \"a\": [1,2] }")), None);
        let part = json!({ "contains": { "a": { "b": 1 } } });
        assert_eq!(
            message(&stated(part.clone()), &seen(br#"{"a":{"b":1,"c":2}}"#)),
            None
        );
        assert_eq!(
            message(&stated(part), &seen(br#"{"a":{"b":2}}"#)).unwrap(),
            "`body` lacks something: `it.a.b` is 2, not 1"
        );
    }

    #[test]
    fn nothing_matches_by_chance() {
        let fault = json!({ "cmd": "X", "fault": { "code": "a.b" } });
        assert!(message(&json!({ "cmd": "X", "fault": null }), &fault).is_some());
        let body = |stated: Value, seen: &str| {
            let seen = json!({ "cmd": "X", "body": seen });
            message(
                &json!({ "cmd": "X", "body": { "contains": stated } }),
                &seen,
            )
        };
        assert!(body(json!({ "a": null }), r#"{"a":{"b":5}}"#).is_some());
        assert!(body(json!({ "a": [1, 2] }), r#"{"a":5}"#).is_some());
        assert!(body(json!({ "any": 5 }), r#"{"b":1}"#).is_some());
        assert!(body(json!({ "b": "5" }), r#"{"b":5}"#).is_some());
        assert!(body(json!({ "b": [1] }), r#"{"a":2,"b":[1]}"#).is_none());
    }
}
