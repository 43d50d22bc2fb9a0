//! The proxy core of linkgate.

pub mod clock;
pub mod link;
