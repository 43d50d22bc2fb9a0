//! What judges by running, behind `linkgate test`: cases of configurations, offline and in virtual time, and clients, against
//! a gateway on loopback that plays tricks.
//!
//! ```text
//! language   what a *.test.yaml may say
//! world      clients, backends, brokers, stores, network and time, scripted
//! driver     carries out a case on a node of its own
//! seen       what was seen, laid beside what is stated
//! client     judges any client of the protocol by a checklist
//! report     verdicts, and the forms in which they are told
//! ```
//!
//! The node of a case is the production node, with the production runner and filters: only what it touches outside is
//! another.

pub mod against;
pub mod bless;
pub mod client;
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
