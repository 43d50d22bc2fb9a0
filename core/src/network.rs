//! Where sockets come from: the system's network, or one within this process, where addresses are names and no port is
//! opened. `linkgate test` runs whole nodes on the latter.
//!
//! What may not enter: what is said over a connection.

mod memory;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

pub use self::memory::MemoryNetwork;
use self::memory::MemorySocket;

/// A network to bind addresses on.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// The system's.
    #[default]
    System,
    /// One within this process.
    Memory(MemoryNetwork),
}

/// How an address is bound.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Whether other sockets may have the same address.
    pub reuse_port: bool,
}

impl Default for Binding {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_port: false,
        }
    }
}

impl Network {
    /// Binds an address; port 0 leaves the port to the network. On the system's it needs a running tokio runtime.
    ///
    /// # Errors
    /// What the network says: the address is in use, or not to be had.
    pub fn bind(&self, address: SocketAddr, binding: Binding) -> io::Result<Socket> {
        match self {
            Self::System => bind(address, binding).map(Socket::System),
            Self::Memory(network) => network.bind(address).map(Socket::Memory),
        }
    }
}

fn bind(address: SocketAddr, binding: Binding) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the old connections' last minute.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(binding.reuse_port)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(binding.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// A bound address.
#[derive(Debug)]
pub enum Socket {
    /// Of the system.
    System(TcpListener),
    /// Within this process.
    Memory(MemorySocket),
}

impl Socket {
    /// The next connection, and from where it comes. May be dropped and called again without losing one.
    ///
    /// # Errors
    /// What the network says.
    pub async fn accept(&self) -> io::Result<(Connection, SocketAddr)> {
        match self {
            Self::System(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Either::Left(stream), peer))
            }
            Self::Memory(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Either::Right(stream), peer))
            }
        }
    }

    /// The bound address, with the port that the network chose for port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(socket) => socket.local_addr(),
            Self::Memory(socket) => Ok(socket.address()),
        }
    }
}

/// An accepted connection: left over the system's network, right within this process.
pub type Connection = Either<TcpStream, DuplexStream>;

/// A connection that may speak TLS: left as it came, right behind TLS; that is boxed, since its state is large and most
/// gateways stand behind something that ends TLS.
pub type Stream = Either<Connection, Box<TlsStream<Connection>>>;

/// Has small writes sent at once.
///
/// # Errors
/// The connection is gone.
pub fn set_nodelay(connection: &Connection) -> io::Result<()> {
    match connection {
        Either::Left(stream) => stream.set_nodelay(true),
        Either::Right(_) => Ok(()),
    }
}
