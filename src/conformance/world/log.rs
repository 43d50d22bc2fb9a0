//! What happens in a case, in the order in which it happens: all parts of the world write it down here.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::conformance::language::{Expectation, Place, With};
use crate::conformance::matching::matches;

/// The log of a case. Clones write into the same one.
#[derive(Clone)]
pub struct Log {
    start: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    /// What may happen without being stated: whoever asks for an answer there gets it at once.
    allow: Arc<[Expectation]>,
}

/// Something that has happened.
pub struct Entry {
    /// When, from the start of the case on.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What has happened.
pub enum What {
    /// Something that has to be stated.
    Seen(Seen),
    /// A filter has said something.
    Said(Said),
}

/// Something that can be seen from outside.
pub struct Seen {
    /// Where.
    pub at: Place,
    /// What.
    pub what: Value,
    /// The same, otherwise: a message as the frame that it came in.
    pub frame: Option<Value>,
    /// Whoever waits for an answer.
    pub answer: Option<oneshot::Sender<With>>,
    /// Which step has stated it.
    pub stated: Stated,
}

/// Whether a step has stated what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// None has.
    No,
    /// It need not be.
    Allowed,
    /// This one has, counted from 0.
    By(usize),
}

/// What a filter has said.
pub struct Said {
    /// The business.
    pub biz_id: Arc<str>,
    /// The user; empty in a trunk.
    pub user_id: Arc<str>,
    /// The filter.
    pub filter: Arc<str>,
    /// In a line.
    pub text: String,
    /// The code of the fault, if it has refused something.
    pub fault: Option<String>,
}

impl Log {
    /// An empty log that begins now.
    pub fn begin(allow: &[Expectation]) -> Self {
        Self {
            allow: allow.into(),
            start: Instant::now(),
            entries: Arc::default(),
        }
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes something down that nobody waits for.
    pub fn see(&self, at: Place, what: Value) {
        self.write(What::Seen(Seen {
            at,
            what,
            frame: None,
            answer: None,
            stated: Stated::No,
        }));
    }

    /// Writes a message down, with the frame that it came in.
    pub fn see_message(&self, at: Place, what: Value, frame: Value) {
        self.write(What::Seen(Seen {
            at,
            what,
            frame: Some(frame),
            answer: None,
            stated: Stated::No,
        }));
    }

    /// Writes something down whose answer is waited for. Where it is dropped, there will be none.
    pub fn ask(&self, at: Place, what: Value) -> oneshot::Receiver<With> {
        let (answer, asked) = oneshot::channel();
        let mut seen = Seen {
            at,
            what,
            frame: None,
            answer: Some(answer),
            stated: Stated::No,
        };
        let mut allow = self.allow.iter();
        if let Some(allowed) = allow.find(|allowed| matches(allowed, &seen))
            && let Some(answer) = seen.answer.take()
        {
            // Whoever has given up waiting hears nothing.
            let _ = answer.send(allowed.answer.with.clone());
        }
        self.write(What::Seen(seen));
        asked
    }

    /// Writes down what a filter has said.
    pub fn say(&self, said: Said) {
        self.write(What::Said(said));
    }

    /// Looks at all that has happened.
    pub fn entries<T>(&self, look: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        look(&mut self.entries.lock())
    }

    fn write(&self, what: What) {
        let at = self.now();
        self.entries.lock().push(Entry { at, what });
    }
}
