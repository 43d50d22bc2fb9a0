//! The chain runner, which keeps the contract: [`Plan`], [`Pipeline`] and [`Chains`] for the core. A filter needs nothing of
//! it.

pub(crate) mod chain;
mod chains;
pub(crate) mod core;
pub(crate) mod erased;
mod host;
pub(crate) mod kept;
mod panics;
mod pipeline;
mod plan;
mod shard;
mod timer;
mod trunk;
pub mod watch;

pub use chain::Load;
pub use chains::Chains;
pub use host::{Host, Seeds};
pub use panics::{OnPanic, Panicked, Payload};
pub use pipeline::{Limits, Pipeline};
pub use plan::{Entry, EntryProblem, Plan, Slot};
pub use shard::Shard;

pub use crate::edges::{Declared, EdgeName, Edges};
pub use crate::meter::Meter;
pub use crate::receipt::Settler;
pub use crate::state::{StateLimits, StateTable, States};
