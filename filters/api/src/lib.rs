//! The filter contract of linkgate, and the runner that keeps it.
//!
//! A filter author needs three things of this crate: [`FilterType`] and [`Filter`] to implement, [`Message`] to work on,
//! and [`Context`] to act through; the `testkit` feature drives a filter in virtual time with the production runner.
//! The core needs [`Plan`], [`Pipeline`] and [`Chains`].
//!
//! What may not enter: a socket, a runtime, a clock, and the name of any filter.

pub mod backend;
pub mod broker;
mod chain;
mod chains;
pub mod client;
mod clock;
mod close;
mod context;
mod core;
mod coverage;
mod dropped;
mod edges;
mod erased;
mod failure;
mod fault;
mod filter;
mod growth;
mod host;
mod link;
mod message;
mod meter;
mod open;
mod panics;
mod pipeline;
mod prepare;
pub mod problem;
mod properties;
mod receipt;
mod registry;
pub mod secret;
mod shard;
mod state;
pub mod store;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod timer;
pub mod trace;
mod trunk;
pub mod units;
pub mod watch;

pub use self::core::timers::TimerId;
pub use bytes::Bytes;
pub use chain::Load;
pub use chains::Chains;
pub use clock::Clock;
pub use close::CloseCode;
pub use context::Context;
pub use coverage::Coverage;
pub use edges::{Declared, EdgeName, Edges};
pub use failure::{EdgeError, EdgeFailure};
pub use fault::{Blame, Effect, Fault};
pub use filter::{Filter, FilterType, Never, Settle, Verdict, Wait};
pub use growth::{Growth, Room};
pub use host::{Host, Seeds};
pub use link::{Form, Identity, LinkInfo, Nacks};
pub use message::{Command, Direction, Message};
pub use meter::{Counter, Meter};
pub use open::Open;
pub use panics::{OnPanic, Panicked, Payload};
pub use pipeline::{Entry, EntryProblem, Limits, Pipeline, Plan, Slot};
pub use prepare::Prepare;
pub use properties::{Fact, Properties};
pub use receipt::{Answer, Outcome, Receipt, Settler};
pub use registry::Registry;
pub use schemars;
pub use schemars::JsonSchema;
pub use secret::Secret;
pub use serde::Deserialize;
pub use shard::Shard;
pub use state::{Owned, OwnedScope, SharedScope, StateLimits, StateTable, States};
