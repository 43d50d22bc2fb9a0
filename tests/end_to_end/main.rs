//! What linkgate promises, held against a running node: over real sockets, with a real gRPC backend.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod against;
mod batches;
mod client_kit;
mod cluster;
mod compression;
mod encrypted;
mod files;
mod hostile;
mod in_front;
mod notices;
mod order;
mod plans;
mod pushes;
mod reload;
mod samples;
mod second_login;
mod slow_clients;
mod stop;
mod tools;
mod upstream;
