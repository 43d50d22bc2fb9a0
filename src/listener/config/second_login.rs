//! `second_login: replace`, `reject`, or `{ allow: N }`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, value::MapAccessDeserializer};

use crate::link::SecondLogin;

/// The form with a key in it. (A plain enum would be written with a YAML tag.)
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keyed {
    /// So many links side by side, at least 1; the oldest makes room for one more.
    allow: u32,
}

const WORDS: [&str; 2] = ["replace", "reject"];

impl<'de> Deserialize<'de> for SecondLogin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecondLogin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`replace`, `reject` or `{ allow: N }`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<SecondLogin, E> {
                match word {
                    "replace" => Ok(SecondLogin::Replace),
                    "reject" => Ok(SecondLogin::Reject),
                    _ => Err(E::unknown_variant(word, &["replace", "reject", "allow"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecondLogin, A::Error> {
                Keyed::deserialize(MapAccessDeserializer::new(map))
                    .map(|keyed| SecondLogin::Allow(keyed.allow))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for SecondLogin {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecondLogin".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What happens when a user's device that has a link opens another.",
            "oneOf": [{ "type": "string", "enum": WORDS }, Keyed::json_schema(generator)]
        })
    }
}
