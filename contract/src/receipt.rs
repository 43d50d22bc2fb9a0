//! Receipts: who is told what became of a message.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::dropped;
use crate::fault::Fault;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Accepted(Answer),
    /// It did not.
    Failed(Fault),
    /// It may have.
    Unknown(Fault),
}

/// What the far end said of a message it accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The backend's answer; empty for a push.
    pub body: Bytes,
    /// Whether the far end itself confirmed the message; `false`: it was handed to the network, no more is known.
    pub confirmed: bool,
}

impl Outcome {
    /// The far end confirmed the message and answered with `body`.
    pub fn accepted(body: impl Into<Bytes>) -> Self {
        Self::Accepted(Answer {
            body: body.into(),
            confirmed: true,
        })
    }

    /// The message was handed to the network; nobody confirms it.
    pub fn sent() -> Self {
        Self::Accepted(Answer {
            body: Bytes::new(),
            confirmed: false,
        })
    }

    /// `Failed` or `Unknown`, as the fault's effect says.
    pub fn from_fault(fault: Fault) -> Self {
        match fault.effect {
            crate::fault::Effect::None => Self::Failed(fault),
            crate::fault::Effect::Unknown => Self::Unknown(fault),
        }
    }

    /// The fault, unless accepted.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Accepted(_) => None,
            Self::Failed(fault) | Self::Unknown(fault) => Some(fault),
        }
    }
}

/// Who gives out receipts and hears of their outcomes. Called from any task: must neither block nor fail, so whoever
/// gives out a receipt reserves the place for its outcome first.
pub trait Settler: Send + Sync {
    /// The receipt with this number has settled. Called once for each.
    fn settle(&self, number: u64, outcome: Outcome);
}

/// A claim to hear what became of a message. Settles once: by [`Receipt::settle`], or as
/// [`Outcome::Unknown`] with the code [`Receipt::DROPPED`] when it is dropped.
pub struct Receipt {
    settler: Option<Arc<dyn Settler>>,
    number: u64,
}

impl Receipt {
    /// The code of the fault of a message that was dropped in silence: a bug of the filter that did it.
    pub const DROPPED: &'static str = dropped::LOST;

    /// A receipt that tells `settler` under `number`.
    pub fn new(settler: Arc<dyn Settler>, number: u64) -> Self {
        Self {
            settler: Some(settler),
            number,
        }
    }

    /// No receipt, where a place for one is to be filled.
    pub(crate) fn none() -> Self {
        Self {
            settler: None,
            number: 0,
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.settler.is_some()
    }

    /// Tells the settler.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(settler) = self.settler.take() {
            settler.settle(self.number, outcome);
        }
    }

    /// The number, if the receipt is one of `settler`'s.
    pub(crate) fn number_at<S: Settler>(&self, settler: &Arc<S>) -> Option<u64> {
        let own = self.settler.as_ref()?;
        std::ptr::addr_eq(Arc::as_ptr(own), Arc::as_ptr(settler)).then_some(self.number)
    }

    /// Ends the receipt without telling anybody: its settler has taken the outcome on another way.
    pub(crate) fn defuse(mut self) {
        self.settler = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settler) = self.settler.take() {
            settler.settle(self.number, Outcome::Unknown(dropped::fault()));
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.number)
    }
}
