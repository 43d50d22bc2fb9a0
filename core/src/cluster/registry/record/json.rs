//! Records as JSON. Keys that are not known are passed over, and a value of another type than ours counts as absent;
//! refused is only what is no JSON object, or has a life that cannot be read.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Load, NodeRecord, NodeState};
use crate::edges::directory::{Incarnation, Life};

/// As it stands in the registry. The first eight are the older gateway's.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    ip: String,
    #[serde(deserialize_with = "lenient")]
    port: u16,
    #[serde(deserialize_with = "lenient")]
    weight: u32,
    #[serde(deserialize_with = "lenient")]
    location: String,
    #[serde(deserialize_with = "lenient")]
    labels: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    capacity: u64,
    /// The number of links.
    #[serde(deserialize_with = "lenient")]
    load: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    linkgate: Option<Ours>,
}

/// What only linkgate writes. 64 bits are texts, as not every reader of JSON takes such numbers.
#[derive(Default, Serialize, Deserialize)]
struct Ours {
    #[serde(serialize_with = "as_text", deserialize_with = "incarnation")]
    incarnation: Option<Incarnation>,
    #[serde(default, deserialize_with = "lenient")]
    peer: String,
    #[serde(default, deserialize_with = "lenient")]
    public: String,
    #[serde(default, deserialize_with = "state")]
    state: NodeState,
    #[serde(default, deserialize_with = "lenient")]
    version: String,
    #[serde(default, deserialize_with = "lenient")]
    schema: u32,
    #[serde(default, deserialize_with = "lenient")]
    generation: u64,
    #[serde(default, deserialize_with = "lenient")]
    pressure: u16,
    #[serde(default, serialize_with = "as_texts", deserialize_with = "lives")]
    lives: BTreeSet<Life>,
}

impl NodeRecord {
    /// As it stands in the registry.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            id: self.id.as_ref().to_owned(),
            ip: self.ip.clone(),
            port: self.port,
            weight: self.weight,
            location: self.location.clone(),
            labels: self.labels.clone(),
            capacity: self.capacity,
            load: self.load.links,
            linkgate: self.incarnation.map(|incarnation| Ours {
                incarnation: Some(incarnation),
                peer: self.peer.clone(),
                public: self.public.clone(),
                state: self.state,
                version: self.version.clone(),
                schema: self.schema,
                generation: self.generation,
                pressure: self.load.pressure,
                lives: self.lives.clone(),
            }),
        };
        // Only a map whose keys are no texts could fail.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// What stands in the registry for the node of this id, whatever id the value tells.
    ///
    /// # Errors
    /// If it is no JSON object, or has a `linkgate` without a life.
    pub fn from_json(node: &str, json: &[u8]) -> Result<Self, serde_json::Error> {
        // A list would be taken for the values of the fields in their order.
        let object: Map<String, Value> = serde_json::from_slice(json)?;
        let wire = Wire::deserialize(Value::Object(object))?;
        let ours = wire.linkgate.unwrap_or_else(|| Ours {
            state: NodeState::Serving,
            ..Ours::default()
        });
        Ok(Self {
            id: Arc::from(node),
            ip: wire.ip,
            port: wire.port,
            weight: wire.weight,
            location: wire.location,
            labels: wire.labels,
            capacity: wire.capacity,
            load: Load {
                links: wire.load,
                pressure: ours.pressure,
            },
            incarnation: ours.incarnation,
            peer: ours.peer,
            public: ours.public,
            state: ours.state,
            version: ours.version,
            schema: ours.schema,
            generation: ours.generation,
            lives: ours.lives,
        })
    }
}

/// The older gateway writes `null` for an empty list, for one.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}

fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeState, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(NodeState::deserialize(value).unwrap_or(NodeState::Draining))
}

fn incarnation<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Incarnation>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parts = text.split_once('-').and_then(|(registry, revision)| {
        Some(Incarnation {
            registry: u64::from_str_radix(registry, 16).ok()?,
            revision: revision.parse().ok()?,
        })
    });
    let parts = parts.ok_or_else(|| D::Error::custom("`incarnation` is no incarnation"));
    parts.map(Some)
}

/// Lives that cannot be read are left out: what a node does not list is not certain, which is safe.
fn lives<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Life>, D::Error> {
    let texts: Vec<String> = lenient(deserializer)?;
    let lives = texts.iter().map(|text| u64::from_str_radix(text, 16));
    Ok(lives.flatten().map(Life).collect())
}

fn as_text<S: Serializer>(value: &Option<Incarnation>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_texts<'a, S: Serializer, T: Display + 'a>(
    values: impl IntoIterator<Item = &'a T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.into_iter().map(T::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> NodeRecord {
        NodeRecord {
            id: "gw1".into(),
            ip: "10.0.0.1".to_owned(),
            port: 8080,
            weight: 100,
            location: "fra".to_owned(),
            labels: vec!["canary".to_owned()],
            capacity: 100_000,
            load: Load {
                links: 1234,
                pressure: 250,
            },
            incarnation: Some(Incarnation {
                registry: 0xcdf8_181e_3b6e_f4ff,
                revision: 17,
            }),
            peer: "10.0.0.1:7070".to_owned(),
            public: "wss://gw1.example.com/ws".to_owned(),
            state: NodeState::Serving,
            version: "0.1.0".to_owned(),
            schema: 3,
            generation: 9,
            lives: [Life(1), Life(u64::MAX)].into(),
        }
    }

    /// What other versions and the older fleets read: a change here breaks them.
    const TEXT: &str = r#"{"id":"gw1","ip":"10.0.0.1","port":8080,"weight":100,"location":"fra","labels":["canary"],"capacity":100000,"load":1234,"linkgate":{"incarnation":"cdf8181e3b6ef4ff-17","peer":"10.0.0.1:7070","public":"wss://gw1.example.com/ws","state":"serving","version":"0.1.0","schema":3,"generation":9,"pressure":250,"lives":["0000000000000001","ffffffffffffffff"]}}"#;

    fn read(json: &str) -> NodeRecord {
        NodeRecord::from_json("gw1", json.as_bytes()).unwrap()
    }

    #[test]
    fn a_record_is_written_in_this_form_and_read_again() {
        assert_eq!(record().to_json(), TEXT);
        assert_eq!(read(TEXT), record());
        let older = NodeRecord {
            incarnation: None,
            ..record()
        };
        let text = older.to_json();
        assert!(!text.contains("linkgate"), "{text}");
    }

    #[test]
    fn a_node_of_the_older_gateway_is_read_and_has_no_life() {
        let older = r#"{"id":"other","ip":"10.0.0.9","port":9001,"weight":5,"location":"","labels":null,"capacity":50000,"load":-1}"#;
        let read = read(older);
        assert_eq!(read.incarnation, None);
        assert_eq!(&*read.id, "gw1", "the key counts");
        assert_eq!(
            (read.port, read.weight, read.load.links, read.state),
            (9001, 5, 0, NodeState::Serving)
        );
        assert!(read.labels.is_empty());
        assert_eq!(self::read("{}").capacity, 0);
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_it_can_be() {
        let newer = TEXT
            .replace(r#""serving""#, r#""hibernating""#)
            .replace(r#""schema":3"#, r#""schema":"2027-01""#)
            .replace(r#""0000000000000001""#, r#""life:1","0000000000000001""#)
            .replace(r#"{"id""#, r#"{"new":{"a":[1]},"id""#)
            .replace(r#""pressure""#, r#""mood":"good","pressure""#);
        let expected = NodeRecord {
            state: NodeState::Draining,
            schema: 0,
            ..record()
        };
        assert_eq!(read(&newer), expected);
    }

    #[test]
    fn what_is_no_object_or_has_no_life_is_refused() {
        for json in [
            "",
            "down",
            "[]",
            "\"x\"",
            r#"{"linkgate":{}}"#,
            r#"{"linkgate":{"incarnation":"17"}}"#,
            r#"{"linkgate":7}"#,
        ] {
            assert!(
                NodeRecord::from_json("gw1", json.as_bytes()).is_err(),
                "{json}"
            );
        }
    }
}
