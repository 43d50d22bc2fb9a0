//! From a YAML value to a typed one, with the place of what is wrong.

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::{Path, Problem, Problems, Segment};

/// Reads a typed value; a problem says at which key it stands.
pub fn deserialize<T: DeserializeOwned>(value: &Value) -> Result<T, Problems> {
    serde_path_to_error::deserialize(value.clone()).map_err(|error| {
        let steps = error.path().iter().filter_map(|step| match step {
            serde_path_to_error::Segment::Seq { index } => Some(Segment::Index(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Segment::Key(key.clone())),
            _ => None,
        });
        let path: Path = steps.collect();
        Problems::from(Problem::new(path, error.inner().to_string()))
    })
}
