//! What goes wrong before there is a connection.

use std::io;

/// Why there is no connection. For the log of the one who runs the gateway.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file of `tls` cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What a file of `tls` says is of no use.
    #[error("{path} is of no use: {why}", path = path.display())]
    Content {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// No certificate authority is trusted.
    #[error(
        "the system trusts no certificate authority: install its certificates (`ca-certificates`), or give `tls.ca`"
    )]
    NoRoots,
    /// The far end speaks TLS, but not HTTP/2.
    #[error("the backend speaks no HTTP/2 over TLS: it has not chosen `h2` by ALPN")]
    NoHttp2,
    /// It took longer than `connect_timeout`.
    #[error("no connection in time")]
    Late,
    /// TCP or TLS.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// HTTP/2.
    #[error(transparent)]
    Http(#[from] h2::Error),
}
