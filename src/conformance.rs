//! What judges by running: client SDKs against a gateway that plays tricks, and how verdicts are told.
//!
//! A judge needs no configuration and no filters, and opens nothing but loopback. Nothing is printed here: reports come
//! out as text.

pub mod client;
pub mod report;
