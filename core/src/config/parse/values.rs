//! The values of a tree's leaves, from `serde_yaml`, laid into the shape that is there already.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Value;

use crate::config::tree::{Node, Tree};

/// Lays the values of what is deserialized into the tree.
pub(super) struct Values<'a>(pub(super) &'a mut Tree);

impl Values<'_> {
    fn leaf(self, value: impl Into<Value>) {
        if let Node::Leaf { value: place, .. } = &mut self.0.node {
            *place = value.into();
        }
    }
}

/// The two parsers do not agree on what is a list, a mapping or a leaf.
fn disagreement<E: de::Error>() -> E {
    E::custom("its lists and mappings are ambiguous, try to write it more plainly")
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.leaf(Value::Null);
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, bool: bool) -> Result<(), E> {
        self.leaf(bool);
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.leaf(number);
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.leaf(number);
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.leaf(number);
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.leaf(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Node::List(items) = &mut self.0.node else {
            return Err(disagreement());
        };
        for item in items {
            list.next_element_seed(Values(item))?
                .ok_or_else(disagreement)?;
        }
        match list.next_element::<de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(disagreement()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Node::Map(entries) = &mut self.0.node else {
            return Err(disagreement());
        };
        for (_, value) in entries {
            map.next_key::<de::IgnoredAny>()?.ok_or_else(disagreement)?;
            map.next_value_seed(Values(value))?;
        }
        match map.next_key::<de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(disagreement()),
        }
    }
}
