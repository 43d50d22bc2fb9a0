//! What linkgate promises, held against a running node: over real sockets, with a real gRPC backend.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[allow(dead_code, reason = "not every helper has its test yet")]
#[path = "../common/mod.rs"]
mod common;

mod order;
mod pushes;
mod second_login;
mod upstream;
