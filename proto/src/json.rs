//! Reading the JSON mapping, `null` included: the generated readers take no `null` where a value is a default.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Error, Value};

/// Reads a message in its JSON mapping. A field that is `null` counts as not there.
///
/// # Errors
/// Says what is wrong with the text.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).or_else(|error| {
        // Hardly anybody writes `null`: nobody else pays for it.
        if !text.windows(4).any(|word| word == b"null") {
            return Err(error);
        }
        let Fields(fields) = serde_json::from_slice(text)?;
        T::deserialize(MapDeserializer::new(fields.into_iter())).map_err(|_: Error| error)
    })
}

/// The fields of an object that are not `null`, as often as they stand there.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, mut value)) = map.next_entry::<String, Value>()? {
                    if !value.is_null() {
                        drop_nulls(&mut value);
                        fields.push((name, value));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Takes fields that are `null` out of all objects in `value`. In a list, `null` stands for nothing and stays wrong.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
