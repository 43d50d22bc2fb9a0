//! The client conformance kit: a gateway on loopback that loses, doubles, delays and cuts on purpose, and judges any
//! client of the protocol by a checklist.
//!
//! A client is seen on the wire alone. What its application was handed shows there too, as the *driver*, the small
//! program around the client, sends each push back. The kit shares no code with the gateway's own rooms: what it asks of
//! clients is what `docs/protocol.md` says, not what the gateway happens to do.

mod checklist;
mod checks;
mod driver;
mod frames;
mod link;
mod log;
mod reference;
mod server;
mod settings;
mod stage;

pub use checklist::{CHECKLIST, CHECKS, Check, Level, settings};
pub use driver::{Command, Offer};
pub use reference::drive;
pub use server::{Finished, Kit, Options};

use std::fmt;

/// Why a client fails a check.
#[derive(Debug)]
pub(crate) struct Failure {
    expected: String,
    seen: String,
}

impl Failure {
    fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            seen: seen.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected: {}\nseen: {}", self.expected, self.seen)
    }
}

/// What a check comes to.
type Checked<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests;
