//! What happens in a case, in the order in which it happens: all parts of the world write it down here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cases::happened::{Entry, Said, Seen, Stated, What};
use crate::cases::language::{Answer, Expectation, Place, With};
use crate::cases::matching::matches;

/// The log of a case. Clones write into the same one.
#[derive(Clone)]
pub struct Log {
    start: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    /// What may happen without being stated.
    allow: Arc<[Expectation]>,
    /// All before it have been stated.
    first: Arc<AtomicUsize>,
    at_once: Arc<AtomicBool>,
    /// Whom what is seen is about, where cases share a gateway.
    marks: Option<Arc<Marks>>,
}

/// What stands behind the names of users, where cases share a gateway.
pub struct Marks {
    /// Of this case's.
    pub own: String,
    /// How those of all cases begin.
    pub all: String,
}

impl Log {
    /// An empty log that begins now.
    pub fn begin(allow: &[Expectation]) -> Self {
        Self {
            marks: None,
            first: Arc::default(),
            at_once: Arc::default(),
            allow: allow.into(),
            start: Instant::now(),
            entries: Arc::default(),
        }
    }

    /// The same, for what these marks say is this case's. They are left out of what is seen.
    #[must_use]
    pub fn marked(self, marks: Marks) -> Self {
        Self {
            marks: Some(Arc::new(marks)),
            ..self
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
        if self.at_once.load(Ordering::Relaxed) {
            self.answer(&mut seen);
        }
        self.write(What::Seen(seen));
        asked
    }

    /// Whether what is allowed is answered as soon as it happens, as time does not wait for steps.
    pub fn answer_at_once(&self, at_once: bool) {
        self.at_once.store(at_once, Ordering::Relaxed);
    }

    /// Answers what is allowed and has no answer yet. Whether there was any.
    pub fn answer_allowed(&self) -> bool {
        let mut entries = self.entries.lock();
        let seen = entries
            .iter_mut()
            .filter_map(|entry| match &mut entry.what {
                What::Seen(seen) if seen.stated == Stated::No => Some(seen),
                _ => None,
            });
        let answered = seen
            .map(|seen| self.answer(seen))
            .filter(|answered| *answered);
        answered.count() > 0
    }

    fn answer(&self, seen: &mut Seen) -> bool {
        if seen.answer.is_none() {
            return false;
        }
        let allowed = self.allow.iter().find(|allowed| matches(allowed, seen));
        let Some((allowed, answer)) = allowed.zip(seen.answer.take_if(|_| allowed.is_some()))
        else {
            return false;
        };
        give(allowed.answer.clone(), answer);
        true
    }

    /// Writes down what a filter has said.
    pub fn say(&self, said: Said) {
        self.write(What::Said(said));
    }

    /// Looks at what has happened from the first on that no step has stated.
    pub fn unstated<T>(&self, look: impl FnOnce(&mut [Entry]) -> T) -> T {
        let mut entries = self.entries.lock();
        let is_done = |entry: &Entry| match &entry.what {
            What::Seen(seen) => seen.stated != Stated::No,
            What::Said(_) => true,
        };
        let mut first = self.first.load(Ordering::Relaxed).min(entries.len());
        while entries.get(first).is_some_and(is_done) {
            first += 1;
        }
        self.first.store(first, Ordering::Relaxed);
        look(&mut entries[first..])
    }

    /// Looks at all that has happened.
    pub fn entries<T>(&self, look: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        look(&mut self.entries.lock())
    }

    fn write(&self, mut what: What) {
        if let (What::Seen(seen), Some(marks)) = (&mut what, &self.marks) {
            unmark(&mut seen.what, &marks.own);
            // What an earlier case has left is none of this one's.
            if seen.what.to_string().contains(&marks.all) {
                return;
            }
        }
        let at = self.now();
        self.entries.lock().push(Entry { at, what });
    }
}

/// Gives an answer to the one who waits, when its time has come. Whoever has given up waiting hears nothing.
pub fn give(answer: Answer, waiting: oneshot::Sender<With>) {
    if answer.after.is_zero() {
        let _ = waiting.send(answer.with);
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(answer.after).await;
        let _ = waiting.send(answer.with);
    });
}

fn unmark(value: &mut Value, mark: &str) {
    match value {
        Value::String(text) if text.contains(mark) => *text = text.replace(mark, ""),
        Value::Array(items) => items.iter_mut().for_each(|item| unmark(item, mark)),
        Value::Object(fields) => fields.values_mut().for_each(|value| unmark(value, mark)),
        _ => {}
    }
}
