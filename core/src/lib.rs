//! The proxy core of linkgate: everything between the sockets and the filters. It names no filter.

pub mod admin;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod edges;
pub mod link;
pub mod listener;
pub mod network;
pub mod node;
pub mod outbox;
pub mod pipeline;
pub mod presence;
pub mod program;
pub mod push;
pub mod readiness;
pub mod reception;
pub mod reload;
pub mod telemetry;
pub mod wire;

pub(crate) use linkgate_filter::secret;
