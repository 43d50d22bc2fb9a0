//! The proxy core of linkgate: everything between the sockets and the filters. It names no filter.

pub mod admin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod edges;
pub mod link;
pub mod listener;
#[cfg(feature = "mimalloc")]
mod memory;
pub mod network;
pub mod node;
pub mod outbox;
pub mod pipeline;
pub mod presence;
pub mod push;
pub mod readiness;
pub mod reception;
pub mod reload;
pub mod telemetry;
pub mod wire;

use std::process::ExitCode;

use linkgate_filter::Registry;
pub(crate) use linkgate_filter::secret;

/// Runs the program with these filters: `linkgate_filters::all()`, and those of your own.
#[allow(
    clippy::needless_pass_by_value,
    reason = "a program has one registry and gives it away"
)]
pub fn main(registry: Registry) -> ExitCode {
    cli::main(&registry)
}
