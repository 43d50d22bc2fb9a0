//! `PushService` over gRPC: calls in, outcomes out.
//!
//! What may not enter: where users' links are. That is the router's.

mod auth;
mod requests;
mod server;
mod service;

pub use self::server::{GrpcPush, GrpcPushError};

#[cfg(test)]
mod tests;
