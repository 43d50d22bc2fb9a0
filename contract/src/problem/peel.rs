//! A configuration value into a typed one, with every problem at once and in people's words.
//!
//! Serde stops at its first error. So the error is noted, what caused it is taken away, and the rest is tried again.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment as Step;

use super::reader::Reader;
use super::words::{self, Cause};
use super::{Mark, Path, Problem, Problems, Segment};

/// So many problems are looked for in one value; more help nobody.
pub const MOST: usize = 100;

/// Reads a `T` from `value`.
///
/// Enums are read as `name` or `name: ...`, never as a YAML tag. An empty value counts as an empty mapping.
///
/// # Errors
/// Every problem found, up to 100. Messages quote the values they are about: whoever shows them blacks out secrets.
pub fn deserialize<T: DeserializeOwned>(value: &Value) -> Result<T, Problems> {
    let (read, problems) = deserialize_known(value);
    match read {
        Some(read) => problems.into_result(read),
        None => Err(problems),
    }
}

/// As [`deserialize`], but unknown keys, which are problems all the same, do not keep the rest from being read.
pub fn deserialize_known<T: DeserializeOwned>(value: &Value) -> (Option<T>, Problems) {
    let rest = match value {
        Value::Null => Value::Object(Map::new()),
        value => value.clone(),
    };
    Peeling {
        rest,
        removed: Vec::new(),
        problems: Problems::new(),
        only_unknown: true,
    }
    .run()
}

/// The value being read, less what has been found wrong.
struct Peeling {
    rest: Value,
    /// Places that were taken away, as the untouched value counts them.
    removed: Vec<Path>,
    problems: Problems,
    /// No problem so far but unknown keys.
    only_unknown: bool,
}

impl Peeling {
    fn run<T: DeserializeOwned>(mut self) -> (Option<T>, Problems) {
        // Each turn takes something away or adds a stand-in, so twice as many turns as problems suffice.
        for _ in 0..2 * MOST {
            let (path, message) = match attempt::<T>(&self.rest) {
                Ok(value) => return (self.only_unknown.then_some(value), self.problems),
                Err(error) => error,
            };
            let more = self.problems.len() < MOST && self.peel::<T>(&path, &message);
            if !more {
                break;
            }
        }
        (None, self.problems)
    }

    /// Notes the error, and removes its cause; `false` if nothing is left to try.
    fn peel<T: DeserializeOwned>(&mut self, path: &Path, message: &str) -> bool {
        let (path, within) = settle(&self.rest, path);
        let cause = words::explain(message, within);
        self.only_unknown &= matches!(cause, Cause::UnknownKey { .. });
        match &cause {
            Cause::MissingKey(key) => {
                let place = path.clone().then(key.as_str());
                if !self.removed.contains(&self.original(&place)) && !self.misspelt(&path, key) {
                    self.note(&path, &cause);
                }
                self.stand_in::<T>(&path, key) || self.remove(&path)
            }
            Cause::UnknownKey { key, .. } => {
                let place = match path.segments().last() {
                    Some(Segment::Key(last)) if last == key => path,
                    _ => path.then(key.as_str()),
                };
                self.note(&place, &cause);
                self.remove(&place)
            }
            Cause::UnknownVariant { key: Some(key), .. } => {
                self.note(&path.clone().then(key.as_str()), &cause);
                self.remove(&path)
            }
            Cause::UnknownVariant { key: None, .. } | Cause::Other { .. } => {
                self.note(&path, &cause);
                self.remove(&path)
            }
        }
    }

    fn note(&mut self, path: &Path, cause: &Cause) {
        let path = self.original(path);
        let problem = Problem {
            mark: cause.mark(),
            message: cause.message(),
            hint: cause.hint(),
            of_type: true,
            path,
        };
        if !self.problems.iter().any(|known| *known == problem) {
            self.problems.push(problem);
        }
    }

    /// Whether an unknown key beside it was probably meant to be `key`.
    fn misspelt(&self, parent: &Path, key: &str) -> bool {
        let parent = self.original(parent);
        let hint = words::did_you_mean(key);
        self.problems.iter().any(|known| {
            known.mark == Mark::Key
                && known.path.parent().as_ref() == Some(&parent)
                && known.hint.as_ref() == Some(&hint)
        })
    }

    fn remove(&mut self, path: &Path) -> bool {
        let original = self.original(path);
        let (Some(parent), Some(last)) = (path.parent(), path.segments().last()) else {
            return false;
        };
        let removed = match (find(&mut self.rest, &parent), last) {
            (Some(Value::Object(map)), Segment::Key(key)) => map.remove(key).is_some(),
            (Some(Value::Array(list)), Segment::Index(index)) if *index < list.len() => {
                list.remove(*index);
                true
            }
            _ => false,
        };
        self.removed.push(original);
        removed
    }

    /// Puts something that fits where `key` is missing, so that the keys missing after it are found too.
    fn stand_in<T: DeserializeOwned>(&mut self, parent: &Path, key: &str) -> bool {
        let place = parent.clone().then(key);
        for value in stand_ins() {
            let mut trial = self.rest.clone();
            let Some(Value::Object(map)) = find(&mut trial, parent) else {
                return false;
            };
            map.insert(key.into(), value);
            let fits = match attempt::<T>(&trial) {
                Ok(_) => true,
                Err((path, message)) => {
                    let again = words::explain(&message, None) == Cause::MissingKey(key.to_owned());
                    !(path.segments().starts_with(place.segments()) || again && path == *parent)
                }
            };
            if fits {
                self.rest = trial;
                return true;
            }
        }
        false
    }

    /// Where `path` was before list elements in front of it were taken away.
    fn original(&self, path: &Path) -> Path {
        let mut original = Path::root();
        for segment in path.segments() {
            let Segment::Index(index) = segment else {
                original = original.then(segment.clone());
                continue;
            };
            let mut gone: Vec<usize> = self
                .removed
                .iter()
                .filter(|removed| removed.parent().as_ref() == Some(&original))
                .filter_map(|removed| match removed.segments().last() {
                    Some(Segment::Index(index)) => Some(*index),
                    _ => None,
                })
                .collect();
            gone.sort_unstable();
            let index = gone
                .into_iter()
                .fold(*index, |at, gone| at + usize::from(gone <= at));
            original = original.then(index);
        }
        original
    }
}

/// Values that most types accept one of.
fn stand_ins() -> [Value; 9] {
    [
        "x".into(),
        "1s".into(),
        "1/s".into(),
        1.into(),
        true.into(),
        Value::Array(Vec::new()),
        Value::Object(Map::new()),
        "127.0.0.1:1".into(),
        Value::Array(vec!["x".into()]),
    ]
}

fn attempt<T: DeserializeOwned>(value: &Value) -> Result<T, (Path, String)> {
    serde_path_to_error::deserialize(Reader(value)).map_err(|error| {
        let steps = error.path().iter().filter_map(|step| match step {
            Step::Seq { index } => Some(Segment::Index(*index)),
            Step::Map { key } => Some(Segment::Key(key.clone())),
            Step::Enum { variant } => Some(Segment::Key(variant.clone())),
            Step::Unknown => None,
        });
        (steps.collect(), error.inner().to_string())
    })
}

/// The longest part of `path` that the value has, and what stands there if it is a mapping of one key, as enums are written.
fn settle<'a>(value: &'a Value, path: &Path) -> (Path, Option<&'a str>) {
    let mut here = value;
    let mut known = Path::root();
    for segment in path.segments() {
        let next = match segment {
            Segment::Key(key) => here.get(key),
            Segment::Index(index) => here.get(index),
        };
        let Some(next) = next else { break };
        here = next;
        known = known.then(segment.clone());
    }
    let only_key = match here {
        Value::Object(map) if map.len() == 1 => map.keys().next().map(String::as_str),
        _ => None,
    };
    (known, only_key)
}

fn find<'a>(value: &'a mut Value, path: &Path) -> Option<&'a mut Value> {
    path.segments()
        .iter()
        .try_fold(value, |here, segment| match segment {
            Segment::Key(key) => here.get_mut(key),
            Segment::Index(index) => here.get_mut(index),
        })
}

#[cfg(test)]
mod tests;
