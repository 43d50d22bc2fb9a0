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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::captured::Captured;

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_failure_has_a_line_now_and_then_with_what_to_do() {
        let log = Captured::begin();
        let words = Words::of("Kafka", "main");
        let [password, topic] = [
            ("authentication", "check `sasl`"),
            ("unknown_topic", "create it"),
        ]
        .map(|(kind, todo)| Hint { kind, todo });
        for _ in 0..100 {
            words.say(password, "who are you");
            words.say(topic, "topic `t`: nowhere");
        }
        let lines = log.lines("Kafka `main`: ");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("who are you; check `sasl`"), "{lines:?}");
        assert!(
            lines[1].contains("topic `t`: nowhere; create it"),
            "{lines:?}"
        );
        tokio::time::advance(Words::EVERY).await;
        words.say(password, "who are you");
        let lines = log.lines("who are you");
        assert!(
            lines.len() == 2 && lines[1].contains("held_back=99"),
            "{lines:?}"
        );
    }
}
