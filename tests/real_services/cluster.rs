//! A cluster of three processes on a real etcd, Redis and Kafka: whatever is killed, frozen, emptied or cut off meanwhile,
//! each push is settled, and nobody is offline who is there.
//!
//! Pushes go on until some thousands are settled, or `LINKGATE_CLUSTER_PUSHES` in each test; those of the topic are 50,000.

mod cut;
mod nodes;
mod registry;
mod stores;
mod stream;
mod topics;
mod users;
mod world;
