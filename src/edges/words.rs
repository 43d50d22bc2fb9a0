//! What outside systems say when something fails, for the operator: which system, its words, and what to do. A line for
//! each edge and kind of failure now and then, however often it fails.
//!
//! What may not enter: which words mean what. Each system's room has a table of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::limit::Every;

/// The log of one edge.
pub(super) struct Words {
    /// Such as "Kafka `main`".
    edge: String,
    /// By kind of failure.
    lines: Mutex<BTreeMap<&'static str, Every>>,
}

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// Lines of one kind count as one.
    pub(super) kind: &'static str,
    /// What to do about it; may be empty.
    pub(super) todo: &'static str,
}

impl Hint {
    /// The system's words, and what to do.
    pub(super) fn explain(self, words: &str) -> String {
        match self.todo {
            "" => words.to_owned(),
            todo => format!("{words}; {todo}"),
        }
    }
}

impl Words {
    const EVERY: Duration = Duration::from_secs(10);

    /// The log of the edge `name` of this system.
    pub(super) fn of(system: &str, name: &str) -> Arc<Self> {
        Arc::new(Self {
            edge: format!("{system} `{name}`"),
            lines: Mutex::default(),
        })
    }

    /// Writes a line, unless there was one of the kind just now.
    pub(super) fn say(&self, hint: Hint, words: &str) {
        let mut lines = self.lines.lock();
        let line = lines.entry(hint.kind).or_insert(Every::new(Self::EVERY));
        let Some(held_back) = line.pass() else { return };
        drop(lines);
        let (edge, kind) = (&self.edge, hint.kind);
        tracing::warn!(kind, held_back, "{edge}: {}", hint.explain(words));
    }
}
