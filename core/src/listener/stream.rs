//! The one stream type that links are made of: a connection, or TLS over it.

use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::network::Connection;

/// An accepted connection: left as it came, right behind TLS; that is boxed, since its state is large and most gateways
/// stand behind something that ends TLS.
pub type Stream = Either<Connection, Box<TlsStream<Connection>>>;
