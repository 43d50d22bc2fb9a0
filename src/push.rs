//! Pushes: from a backend's call to the right links, and what became of them back to the backend.
//!
//! A source (gRPC, a topic of a broker, HTTP) takes pushes in; the [`Router`] finds the receivers' links, sends, and gathers one outcome for
//! every receiver. What may not enter: how a link works, and what its filters do with a push; both are behind [`Links`]
//! and a receipt.

mod auth;
mod config;
mod flight;
mod grpc;
mod http;
mod links;
mod message;
mod metrics;
mod outcome;
mod report;
mod requests;
mod router;
mod settled;
#[cfg(test)]
mod testing;
mod topic;

pub use self::config::{
    GrpcCaller, GrpcSource, HttpSource, OnExpired, PushConfig, PushLimits, PushSource, Ready,
    Routing, TopicSource,
};
pub use self::grpc::{GrpcControl, GrpcPush, GrpcPushError};
pub use self::http::{HttpPush, HttpSlot};
pub use self::links::{Link, Links};
pub use self::message::Push;
pub use self::metrics::PushMetrics;
pub use self::outcome::{ReceiverOutcome, Status};
pub use self::report::Reporter;
pub use self::router::{Businesses, Pending, Router, Sending};
pub use self::topic::TopicPush;

#[cfg(test)]
mod tests;
