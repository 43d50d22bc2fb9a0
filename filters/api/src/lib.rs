//! To be described by its first commit.

pub mod problem;
pub mod units;
