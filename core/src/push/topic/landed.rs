//! What became of pushes while they were parked: so that they are not sent again when they come back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::push::outcome::ReceiverOutcome;

/// The record that the push first was, and the user.
pub(super) type Name = (Arc<str>, Arc<str>);

/// The latest outcomes of parked pushes, so many at the most.
pub(super) struct Landed {
    outcomes: HashMap<Name, ReceiverOutcome>,
    order: VecDeque<Name>,
    most: usize,
}

impl Landed {
    pub(super) fn new(most: usize) -> Self {
        Self {
            outcomes: HashMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// Notes an outcome, if it says that the user has the push.
    pub(super) fn note(&mut self, name: Name, outcome: ReceiverOutcome) {
        if !outcome.is_had() {
            return;
        }
        if self.outcomes.insert(name.clone(), outcome).is_none() {
            self.order.push_back(name);
        }
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
    }

    /// What became of a push that was parked. It is told once: whoever asks reports it.
    pub(super) fn take(&mut self, name: &Name) -> Option<ReceiverOutcome> {
        self.outcomes.remove(name)
    }
}
