//! Many nodes as one: which nodes there are, where a user's links are, and how a push gets there.
//!
//! The table of the node that holds a link is the truth; the directory is a hint and a fence; whoever took a push in owns it
//! until it is settled. What may not enter: what pushes and links are made of, and when a node starts and stops.

pub mod config;
pub mod machine;
pub mod peers;
pub mod registry;
