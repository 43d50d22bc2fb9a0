//! The filter contract of linkgate, and the runner that keeps it.
//!
//! A filter author needs three things of this crate: [`FilterType`] and [`Filter`] to implement, [`Message`] to work on,
//! and [`Context`] to act through; the `testkit` feature drives a filter in virtual time with the production runner.
//! What keeps the contract is [`runner`]: the core needs it, a filter does not.
//!
//! What may not enter: a socket, a runtime, a clock, and the name of any filter.

pub mod backend;
pub mod broker;
pub mod client;
mod clock;
mod close;
mod coverage;
mod dropped;
mod edges;
mod errand;
mod every;
mod failure;
mod fault;
mod filter;
mod filter_type;
mod growth;
mod link;
mod message;
mod meter;
mod open;
mod prepare;
pub mod problem;
mod properties;
mod receipt;
mod registry;
mod retry;
pub mod runner;
pub mod secret;
mod state;
pub mod store;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod trace;
pub mod units;
mod verdict;

pub use self::runner::core::timers::TimerId;
pub use bytes::Bytes;
pub use clock::Clock;
pub use close::CloseCode;
pub use coverage::Coverage;
pub use every::Every;
pub use failure::{EdgeError, EdgeFailure};
pub use fault::{Blame, Effect, Fault};
pub use filter::{Context, Filter, Never};
pub use filter_type::FilterType;
pub use growth::{Growth, Room};
pub use link::{Form, Identity, LinkInfo, Nacks};
pub use message::{Command, Direction, Message};
pub use meter::Counter;
pub use open::Open;
pub use prepare::Prepare;
pub use properties::{Fact, Properties};
pub use receipt::{Answer, Outcome, Receipt};
pub use registry::Registry;
pub use retry::{RetryAccount, RetryTerms};
pub use schemars;
pub use schemars::JsonSchema;
pub use secret::Secret;
pub use serde::Deserialize;
pub use state::{Owned, OwnedScope, SharedScope};
pub use verdict::{Settle, Verdict, Wait};
