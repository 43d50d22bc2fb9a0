//! The machine in a world in which everything may be late, lost, or done twice.
//!
//! [`world`] is that world, [`explore`] goes through every order of its steps within bounds.

mod explore;
mod rules;
mod world;
