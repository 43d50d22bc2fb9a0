//! The filter in the production runner, in virtual time.

mod batches;
mod configs;
mod property;
mod rig;
