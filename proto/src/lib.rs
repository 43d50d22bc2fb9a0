//! The wire formats of linkgate as Rust types, generated from `linkgate/v1/*.proto`: the client
//! protocol, the services of backends, and what nodes say to each other. The comments in the protos are the documentation.
//!
//! Only formats live here, and the contract's [`Fault`](linkgate_filter::Fault) as a [`v1::Fault`] and back. What a message
//! means to a filter is the contract's business.
//!
//! # The JSON mapping
//!
//! Every message has the [protobuf JSON mapping](https://protobuf.dev/programming-guides/json/)
//! by `serde`:
//!
//! - Written: field names in lowerCamelCase, enums by name, bytes as padded standard base64, 64-bit
//!   integers as strings; fields at their default are left out.
//! - Read: besides, original field names (`retry_after_ms`), enums by number, base64 in the URL-safe
//!   alphabet and without padding, 64-bit integers as numbers, and, by [`from_json`], `null` for a default.
//! - Unknown fields are skipped, as in the binary form, so a newer client can speak to an older
//!   gateway. An unknown enum name or number, a field given twice and a wrong type are errors.
//!
//! ```
//! use linkgate_proto::v1::{Command, Message};
//!
//! let message: Message =
//!     linkgate_proto::from_json(br#"{"cmd": "UPSTREAM_MESSAGE", "key": "m-1", "body": "aGk="}"#)?;
//! assert_eq!(message.cmd(), Command::UpstreamMessage);
//! assert_eq!(message.body, "hi");
//! # Ok::<(), serde_json::Error>(())
//! ```

/// Version 1 of the protocol: the only one.
#[allow(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::wildcard_imports
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/linkgate.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/linkgate.v1.serde.rs"));
}

mod fault;
mod json;

pub use json::from_json;

/// The encoded `FileDescriptorSet` of all files of [`v1`], for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/linkgate.v1.bin"));

/// The WebSocket subprotocol of a client that speaks protobuf in binary frames.
pub const SUBPROTOCOL_PROTO: &str = "linkgate.v1.proto";

/// The WebSocket subprotocol of a client that speaks JSON in text frames.
pub const SUBPROTOCOL_JSON: &str = "linkgate.v1.json";

#[cfg(test)]
mod tests;
