//! What was seen, as the steps that state it.

use serde_json::{Map, Value};

use super::happened::Seen;
use super::language::{Place, flow};

/// The step that states what was seen, in one line.
pub(super) fn sentence(seen: &Seen) -> String {
    let what = &seen.what;
    match &seen.at {
        Place::Message(name) => format!("{name} receives: {}", value(&message(what))),
        Place::Frame(name) => match what.get("text") {
            Some(text) => format!("{name} receives text: {}", value(text)),
            None => format!("{name} receives binary: {}", value(&what["binary"])),
        },
        Place::Closed(name) => format!("{name} is closed: {}", value(&what["code"])),
        Place::Refused(name) => format!("{name} is refused: {}", value(&what["status"])),
        Place::Call(name) => format!("backend {name} receives: {}", value(&call(what))),
        Place::Batch(name) => {
            format!(
                "backend {name} receives batch: {}",
                list(&what["items"], call)
            )
        }
        Place::Reports(name) => {
            format!(
                "backend {name} receives reports: {}",
                list(&what["reports"], report)
            )
        }
        Place::Presence(name) => {
            format!(
                "backend {name} receives presence: {}",
                list(&what["events"], presence)
            )
        }
        Place::Record(name) => {
            format!(
                "broker {name} receives: {}",
                value(&pick(what, &["topic", "key", "body"]))
            )
        }
        Place::Ended(key) => match what.get("fault") {
            Some(fault) => format!("push {key} fails: {}", value(&fault["code"])),
            None => format!("push {key} ends: {}", value(&outcomes(&what["outcomes"]))),
        },
    }
}

fn value(value: &Value) -> String {
    flow(value, false)
}

fn list(items: &Value, of: impl Fn(&Value) -> Value) -> String {
    let items = items.as_array().into_iter().flatten();
    value(&items.map(of).collect())
}

fn message(what: &Value) -> Value {
    let mut picked = pick(what, &["cmd", "key", "body"]);
    let fault = &what["fault"];
    if !fault.is_null() {
        let mut stated = pick(fault, &["code", "source", "effect"]);
        stated["retryable"] = fault["retryable"].clone();
        if fault["retry_after_ms"].as_u64() > Some(0) {
            stated["retry_after_ms"] = fault["retry_after_ms"].clone();
        }
        picked["fault"] = stated;
    }
    picked
}

fn call(what: &Value) -> Value {
    pick(what, &["key", "body", "user_id"])
}

fn report(what: &Value) -> Value {
    let mut picked = pick(what, &["key", "receiver_id", "status"]);
    if let Some(code) = what["reason"].get("code") {
        picked["reason"] = code.clone();
    }
    picked
}

fn presence(what: &Value) -> Value {
    pick(what, &["kind", "user_id", "links"])
}

fn outcomes(what: &Value) -> Value {
    let outcomes = what.as_object().into_iter().flatten();
    let outcome = |(user, outcome): (&String, &Value)| {
        let stated = match outcome["reason"].get("code") {
            None => outcome["status"].clone(),
            Some(code) => serde_json::json!({ "status": outcome["status"], "reason": code }),
        };
        (user.clone(), stated)
    };
    Value::Object(outcomes.map(outcome).collect())
}

/// These fields, where they are not empty.
fn pick(what: &Value, fields: &[&str]) -> Value {
    let picked = fields.iter().filter_map(|field| {
        let value = what.get(*field)?;
        let is_empty = value.is_null() || value.as_str() == Some("");
        (!is_empty).then(|| ((*field).to_owned(), value.clone()))
    });
    Value::Object(picked.collect::<Map<_, _>>())
}
