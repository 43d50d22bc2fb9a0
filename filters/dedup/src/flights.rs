//! Keys at work on this node, so that a retry of a message in flight shares its outcome.

use std::collections::HashMap;
use std::sync::Arc;

use linkgate_filter::{Fault, Message, Outcome};
use parking_lot::Mutex;

/// The keys that the links of a business work on. Each entry belongs to an unsettled message, and so does each retry that
/// waits: the links' bounds bound them.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Arc<str>, Vec<Message>>>);

/// What became of a message that came to the table.
pub(crate) enum Entered {
    /// It is the first of its key.
    First(Message, Flight),
    /// It waits for the first one's outcome.
    Waits,
    /// Too many wait already.
    TooMany(Message),
}

/// A key at work. It leaves the table when this lands, or is dropped.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: Arc<str>,
}

impl Flights {
    pub(crate) fn enter(self: &Arc<Self>, key: &Arc<str>, m: Message, most: usize) -> Entered {
        let mut table = self.0.lock();
        let Some(waiting) = table.get_mut(key) else {
            table.insert(Arc::clone(key), Vec::new());
            let flight = Flight {
                flights: Arc::clone(self),
                key: Arc::clone(key),
            };
            return Entered::First(m, flight);
        };
        if waiting.len() >= most {
            return Entered::TooMany(m);
        }
        waiting.push(m);
        Entered::Waits
    }

    fn leave(&self, key: &str) -> Vec<Message> {
        self.0.lock().remove(key).unwrap_or_default()
    }
}

impl Flight {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Tells those that wait.
    pub(crate) fn land(self, outcome: &Outcome) {
        for m in self.flights.leave(&self.key) {
            m.settle(outcome.clone());
        }
    }
}

impl Drop for Flight {
    /// Nothing is left to tell after [`Flight::land`]. Where the chain of the first message was given up, nobody knows.
    fn drop(&mut self) {
        for m in self.flights.leave(&self.key) {
            let fault = Fault::gateway("dedup.abandoned").effect_unknown();
            m.settle(Outcome::Unknown(fault.retryable()));
        }
    }
}
