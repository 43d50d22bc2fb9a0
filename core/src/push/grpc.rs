//! `PushService` over gRPC: calls in, outcomes out.
//!
//! What may not enter: where users' links are. That is the router's.

mod call;
mod connection;
mod doorman;
mod intake;
mod server;
mod service;

pub use self::server::{GrpcControl, GrpcPush, GrpcPushError};

#[cfg(test)]
mod tests;
