//! Cases for configurations, behind `linkgate test`: what a pipeline does, shown offline and in virtual time.
//!
//! ```text
//! language   what a *.test.yaml may say
//! world      clients, backends, brokers, stores, network and time, scripted
//! driver     carries out a case on a node of its own
//! seen       what was seen, laid beside what is stated
//! report     verdicts, and the forms in which they are told
//! ```
//!
//! The node is the production node, with the production runner and filters: only what it touches outside is another.

pub mod against;
pub mod bless;
pub mod coverage;
pub mod driver;
pub mod language;
mod matching;
pub mod report;
pub mod seen;
mod sentences;
pub mod suite;
pub mod timeline;
pub mod world;
