//! The proxy core of linkgate.

pub mod client;
pub mod clock;
pub mod link;
pub mod listener;
pub mod push;
pub mod secret;
pub mod telemetry;
