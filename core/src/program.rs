//! The program that a node runs in.

use std::fmt;

/// The program that a node runs in: linkgate itself, or a gateway that somebody built of its crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Program {
    /// linkgate itself.
    pub const LINKGATE: Self = Self {
        name: "linkgate",
        version: env!("CARGO_PKG_VERSION"),
    };
}

/// The version, and that of linkgate if the program is another: `0.3.0 (linkgate 0.1.0)`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version)?;
        if self.name != Self::LINKGATE.name {
            write!(f, " (linkgate {})", Self::LINKGATE.version)?;
        }
        Ok(())
    }
}
