//! The filter against real tonic servers: over memory in virtual time, and over TCP with TLS.

mod batches;
mod calls;
mod chains;
mod endpoints;
mod memory;
mod names;
mod network;
mod overload;
mod refusals;
mod truth;
