//! What stands behind a sentence, read as what the sentence needs.

use std::path::PathBuf;
use std::time::Duration;

use linkgate_filter::problem::deserialize;
use linkgate_filter::units::HumanDuration;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::counted;
use super::{Sentence, Wrong};

impl Sentence<'_> {
    pub(super) fn value<T: DeserializeOwned>(&self) -> Result<T, Wrong> {
        Ok(deserialize(self.value)?)
    }

    /// One, or a list of them.
    pub(super) fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, Wrong> {
        match self.value.is_array() {
            true => self.value(),
            false => Ok(vec![self.value()?]),
        }
    }

    pub(super) fn or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Wrong> {
        self.or(T::default())
    }

    pub(super) fn or<T: DeserializeOwned>(&self, default: T) -> Result<T, Wrong> {
        match self.value.is_null() {
            true => Ok(default),
            false => self.value(),
        }
    }

    pub(super) fn time(&self) -> Result<Duration, Wrong> {
        self.value::<HumanDuration>().map(Into::into)
    }

    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, Wrong> {
        let paths: Vec<String> = self.list()?;
        Ok(paths.iter().map(|path| self.folder.join(path)).collect())
    }

    pub(super) fn check<T: DeserializeOwned>(&self) -> Result<(), Wrong> {
        self.value::<T>().map(drop)
    }

    pub(super) fn check_unless_empty<T: DeserializeOwned>(&self) -> Result<(), Wrong> {
        match self.value.is_null() {
            true => Ok(()),
            false => self.check::<T>(),
        }
    }
}

/// The items of a list, each as often as it says.
pub(super) fn repeated(items: &Value) -> Value {
    let items = items.as_array().into_iter().flatten();
    let all = items.flat_map(|item| {
        let mut item = item.clone();
        let times = item
            .as_object_mut()
            .and_then(|fields| fields.remove("times"));
        let times = times.and_then(|times| times.as_u64()).unwrap_or(1);
        (1..=times).map(move |n| counted(&item, n))
    });
    all.collect()
}

/// A value that may stand for its main field.
pub(super) fn shorthand(value: Value, field: &str) -> Value {
    match value {
        Value::Object(_) => value,
        other => json!({ field: other }),
    }
}
