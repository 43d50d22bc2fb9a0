//! Cases of configurations: what a pipeline does, shown offline and in virtual time.
//!
//! ```text
//! language   what a *.test.yaml may say
//! world      clients, backends, brokers, stores, network and time, scripted
//! happened   what has happened in it
//! driver     carries out a case on a node of its own, in such a world
//! matching   whether what was seen is what a step states (seen), and how it is said (sentences)
//! suite      many cases side by side; coverage, timeline and bless make something of what has come of them
//! against    cases against a gateway that runs elsewhere
//! ```
//!
//! The node of a case is the production node, with the production runner and filters: only what it touches outside is
//! another.

pub mod against;
pub mod bless;
pub mod coverage;
pub mod driver;
pub mod happened;
pub mod language;
mod matching;
pub mod seen;
mod sentences;
pub mod suite;
pub mod timeline;
pub mod world;
