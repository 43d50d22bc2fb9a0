//! What is wrong with a configuration, where, and how to mend it.
//!
//! A filter's `prepare` gathers every problem it finds and returns them together; whoever loaded the
//! configuration joins each [`Path`] with the text it came from. No file, line or terminal is known here.

mod peel;
mod reader;
mod words;

use std::fmt;

pub use peel::{MOST, deserialize, deserialize_known};

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A key of a mapping.
    Key(String),
    /// A position in a list, from 0.
    Index(usize),
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<String> for Segment {
    fn from(key: String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Where in a configuration value something is, from the value's own root: for a filter, its `config:`.
///
/// Shown as `retry.max` and `endpoints[0]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

impl Path {
    /// The value itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// This path and one more step: `Path::root().then("endpoints").then(0)`.
    #[must_use]
    pub fn then(mut self, segment: impl Into<Segment>) -> Self {
        self.0.push(segment.into());
        self
    }

    /// This path followed by all of another.
    #[must_use]
    pub fn join(mut self, tail: &Path) -> Self {
        self.0.extend_from_slice(&tail.0);
        self
    }

    /// The steps from the root on.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Without its last step; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// Whether this is the value itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Path {
    fn from(key: &str) -> Self {
        Self::root().then(key)
    }
}

impl<S: Into<Segment>, const N: usize> From<[S; N]> for Path {
    fn from(segments: [S; N]) -> Self {
        segments.into_iter().collect()
    }
}

impl<S: Into<Segment>> FromIterator<S> for Path {
    fn from_iter<I: IntoIterator<Item = S>>(segments: I) -> Self {
        Self(segments.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => write!(f, "{key}")?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Which end of `key: value` a problem points at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The value, for a wrong value.
    #[default]
    Value,
    /// The key, for a key that should not be there, or a mapping that lacks one.
    Key,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// Whether the key or the value there is meant.
    pub mark: Mark,
    /// What is wrong, in one sentence without a full stop. Never holds a secret.
    pub message: String,
    /// How to mend it, where more can be said than the message does.
    pub hint: Option<String>,
    /// It is wrong by its type, whatever other values are.
    pub of_type: bool,
}

impl Problem {
    /// A problem with the value at `path`.
    pub fn new(path: impl Into<Path>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            mark: Mark::Value,
            message: message.into(),
            hint: None,
            of_type: false,
        }
    }

    /// Says how to mend it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// The key that is missing, if it was [`deserialize`] that found one missing.
    pub fn missing_key(&self) -> Option<&str> {
        words::missing_key(&self.message)
    }

    /// Points at the key instead of the value.
    pub fn on_key(&mut self) -> &mut Self {
        self.mark = Mark::Key;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Every problem found so far.
///
/// ```
/// use linkgate_filter::problem::Problems;
///
/// let (initial, max) = (10, 5);
/// let mut problems = Problems::new();
/// if max < initial {
///     problems
///         .at(["retry", "max"], format!("{max} s is less than `initial`, {initial} s"))
///         .hint("raise `max`, or lower `initial`");
/// }
/// assert!(problems.into_result(max).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a problem with the value at `path`; the answer takes a [`hint`](Problem::hint).
    pub fn at(&mut self, path: impl Into<Path>, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::new(path, message))
    }

    /// Notes a problem; the answer takes a [`hint`](Problem::hint).
    pub fn push(&mut self, problem: Problem) -> &mut Problem {
        let last = self.0.len();
        self.0.push(problem);
        &mut self.0[last]
    }

    /// Takes over the problems of a part that stands at `path`.
    pub fn extend_under(&mut self, path: &Path, part: Problems) {
        self.0.extend(part.0.into_iter().map(|problem| Problem {
            path: path.clone().join(&problem.path),
            ..problem
        }));
    }

    /// `value` if there is no problem, all problems otherwise.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The problems in the order they were noted.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that `word` was probably meant to be, if one is near enough to say so.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let score = strsim::jaro_winkler(&lower, &candidate.to_lowercase());
            let edits = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (candidate, score, edits)
        })
        .filter(|(_, score, edits)| *score > 0.84 || *edits <= 1)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, ..)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        assert_eq!(Path::from(["retry", "max"]).to_string(), "retry.max");
        assert_eq!(
            Path::from("endpoints").then(0).then("host").to_string(),
            "endpoints[0].host"
        );
        assert_eq!(Path::root().to_string(), "");
    }

    #[test]
    fn problems_are_gathered_and_come_back_together() {
        let mut problems = Problems::new();
        problems
            .at("burst", "0 lets nothing pass")
            .hint("write 1 or more");
        problems.at(Path::root(), "`rate` is missing").on_key();
        let problems = problems.into_result(()).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "burst: 0 lets nothing pass (write 1 or more); `rate` is missing"
        );
        assert_eq!(problems.iter().last().map(|p| p.mark), Some(Mark::Key));
        assert_eq!(Problems::new().into_result(7), Ok(7));
    }

    #[test]
    fn the_problems_of_a_part_move_under_its_place() {
        let mut part = Problems::new();
        part.at("cert", "is missing");
        let mut whole = Problems::new();
        whole.extend_under(&Path::from(["backends", "chat"]), part);
        assert_eq!(whole.to_string(), "backends.chat.cert: is missing");
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let keys = ["rate", "burst", "per", "max_unacked"];
        assert_eq!(nearest("brust", keys), Some("burst"));
        assert_eq!(nearest("rat", keys), Some("rate"));
        assert_eq!(nearest("maxUnacked", keys), Some("max_unacked"));
        assert_eq!(nearest("compression", keys), None);
        assert_eq!(nearest("x", []), None);
    }
}
