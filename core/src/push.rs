//! Pushes: from a backend's call to the right links, and what became of them back to the backend.
//!
//! ```text
//! grpc, http, topic     sources: take pushes in, and tell what became of them
//! gathering.rs          one push of a caller, and its outcomes
//! router.rs             takes pushes in, and sends them to their receivers
//! flights.rs            pushes under way: what they have heard, and when they end
//! receivers.rs, ear.rs  the seams: ways to a user, and whoever hears of an outcome
//! outcome.rs            what ways have said, as one outcome for the receiver
//! ```
//!
//! What may not enter: how a link works, and what its filters do with a push; both are behind [`Receivers`] and a receipt.

mod auth;
mod config;
mod ear;
mod flights;
mod gathering;
mod grpc;
mod http;
mod message;
mod metrics;
mod outcome;
mod receivers;
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
pub use self::ear::{Ear, Hear};
pub use self::flights::{Reach, Weighed};
pub use self::grpc::{GrpcControl, GrpcPush, GrpcPushError};
pub use self::http::{HttpPush, HttpSlot};
pub use self::message::Push;
pub use self::metrics::PushMetrics;
pub use self::outcome::{ReceiverOutcome, Status};
pub use self::receivers::{Need, Receivers, Search, Seek, Seeker, Verdict, Way, WayId, Ways};
pub use self::report::Reporter;
pub use self::router::{Businesses, Router};
pub use self::topic::TopicPush;

#[cfg(test)]
mod tests;
