//! Who hears what becomes of pushes.

use std::sync::Arc;

use super::outcome::ReceiverOutcome;

/// Hears of the outcomes of pushes that somebody has sent, each under the number that it was sent with. Called by whoever
/// settles a push, such as a link: it may not wait.
pub trait Hear: Send + Sync {
    /// A push has ended for a receiver.
    fn hear(&self, number: u64, outcome: ReceiverOutcome);
}

/// Hears of one outcome.
pub struct Ear {
    to: Arc<dyn Hear>,
    number: u64,
}

impl Ear {
    /// The outcome is `to`'s, as this number.
    pub fn new(to: Arc<dyn Hear>, number: u64) -> Self {
        Self { to, number }
    }

    pub(super) fn tell(self, outcome: ReceiverOutcome) {
        self.to.hear(self.number, outcome);
    }
}
