//! A client of linkgate: what the command line tools and the tests speak to a gateway with.
//!
//! [`Socket`] is one connection that carries messages; [`Session`] stays connected over many of them;
//! [`Pusher`] is a backend's end: it pushes to users. Nothing of the
//! gateway's own rooms comes in here, and nothing is printed: what happens comes out as values.

mod connect;
mod frame;
mod push;
mod session;

pub use connect::{ConnectError, Ended, Limits, Socket, Target, Tokens, dial};
pub use frame::{BadFrame, decode, encode, subprotocol};
pub use push::{NotPushed, Pusher, PusherError};
pub use session::{Event, Options, Session};

#[cfg(test)]
mod tests;
