//! The client's side of a gRPC backend: its endpoints found, chosen, connected, and left alone while they fail.
//!
//! ```text
//! Pool ── lease ──> Lease ── channel ──> Channel ──> h2
//!   │                 └─ end ──> Breaker
//!   ├─ Queue: those who wait until an endpoint has room
//!   ├─ Resolver: what names stand for, asked by a task of its own
//!   └─ Directory: endpoints that outlive a change of the configuration
//! ```
//!
//! A [`Pool`] is made from the configuration of one backend; [`Pool::lease`] answers with leave to make one try at the
//! endpoint with the fewest calls in flight whose breaker allows it. What is called there, how often it is tried again and
//! what its answer means is the caller's own.
//!
//! What may not enter: messages, retries, and the meaning of a status.

mod address;
mod breaker;
mod channel;
mod connection;
mod connector;
mod details;
mod endpoint;
mod error;
mod framing;
mod gather;
mod pool;
mod queue;
mod resolver;
mod stream;
mod tls;

use std::error::Error;

pub use crate::address::{Address, Settings};
pub use crate::breaker::{BreakerRules, Change, Sign, is_trouble};
pub use crate::channel::{Answer, Channel};
pub use crate::connector::{Brought, Connector, Io, Network, connector, with_connector};
pub use crate::endpoint::{Directory, Endpoint, Lease};
pub use crate::error::ConnectError;
pub use crate::framing::whole_message;
pub use crate::gather::Behind;
pub use crate::pool::{Leased, NoEndpoint, Pool};
pub use crate::stream::write;

/// An error with its causes, without repeating what a cause already says.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
