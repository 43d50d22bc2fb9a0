//! Pushes: from a backend's call to the right links, and what became of them back to the backend.
//!
//! A source (gRPC so far) takes pushes in; the [`Router`] finds the receivers' links, sends, and gathers one outcome for
//! every receiver. What may not enter: how a link works, and what its filters do with a push; both are behind [`Links`]
//! and a receipt.

mod config;
mod flight;
mod grpc;
mod links;
mod message;
mod metrics;
mod outcome;
mod router;
#[cfg(test)]
mod testing;

pub use self::config::{GrpcCaller, GrpcSource, GrpcTls, PushConfig, PushLimits, PushSource};
pub use self::grpc::{GrpcPush, GrpcPushError};
pub use self::links::{Link, Links};
pub use self::message::Push;
pub use self::metrics::PushMetrics;
pub use self::outcome::{ReceiverOutcome, Status};
pub use self::router::{Pending, Router, Sending};

#[cfg(test)]
mod tests;
