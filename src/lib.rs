//! The proxy core of linkgate.

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod link;
pub mod listener;
pub mod push;
pub mod secret;
pub mod telemetry;
