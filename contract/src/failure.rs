//! What goes wrong at an edge.

use crate::fault::{Effect, Fault};

/// In what way an edge failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeFailure {
    /// The system could not be reached.
    Unreachable,
    /// The system did not answer in time.
    TimedOut,
    /// The system has no room for more.
    Full,
    /// The system answered that it will not do this, now or later, as when it is too large. Not a permission that is
    /// missing: it may be granted.
    Refused,
}

impl EdgeFailure {
    /// The last part of a fault's code: `unreachable`, `timed_out`, `full`, `refused`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }
}

/// What went wrong at an edge. The detail is for the log of the one who runs the gateway: it holds no secret, and no
/// client hears it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", failure.name())]
pub struct EdgeError {
    /// In what way.
    pub failure: EdgeFailure,
    /// Whether what was asked for may have happened all the same.
    pub effect: Effect,
    /// What the system or its library says.
    pub detail: String,
}

impl EdgeError {
    /// A failure that certainly had no effect.
    pub fn new(failure: EdgeFailure, detail: impl Into<String>) -> Self {
        Self {
            failure,
            effect: Effect::None,
            detail: detail.into(),
        }
    }

    /// What was asked for may have happened.
    #[must_use]
    pub fn effect_unknown(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    /// The fault that a client hears of, `room.failure`: the gateway's, and retryable unless the system refused.
    pub fn fault(&self, room: &str) -> Fault {
        let mut fault = Fault::gateway(format!("{room}.{}", self.failure.name()));
        fault.effect = self.effect;
        if self.failure == EdgeFailure::Refused {
            fault
        } else {
            fault.retryable()
        }
    }
}
