//! What the end-to-end tests stand on: a node in this process, started from YAML; a scripted gRPC backend that can be
//! killed and revived; clients that speak the protocol, and sockets that break it; callers of the push service.
//!
//! Everything is real, down to TCP. Nothing here waits for a time: waits end when what they wait for is there, and fail
//! with its name after [`wait::PATIENCE`].

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod documents;
pub(crate) mod gateway;
pub(crate) mod metrics;
pub(crate) mod process;
pub(crate) mod push;
pub(crate) mod raw;
pub(crate) mod sealed;
pub(crate) mod tls;
pub(crate) mod wait;
