//! What linkgate promises, held against real services: Redis, etcd and Apache Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    dead_code,
    reason = "a test that cannot go on fails; not every helper of the other tests is needed here"
)]

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod directory;
mod etcd_documents;
mod etcd_nodes;
mod kafka_edge;
mod mq_upstream;
mod pushes;
mod redis_store;
mod registry;
mod retries;
mod samples;
mod services;
mod soak;
mod the_services;
