//! Where sockets come from: the system's network, or one within this process, where addresses are names and no port is
//! opened. `linkgate test` runs whole nodes on the latter.
//!
//! What may not enter: what is said over a connection.

mod memory;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

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
                Ok((Connection::System(stream), peer))
            }
            Self::Memory(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Connection::Memory(stream), peer))
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

/// An accepted connection.
#[derive(Debug)]
pub enum Connection {
    /// Over the system's network.
    System(TcpStream),
    /// Within this process.
    Memory(DuplexStream),
}

impl Connection {
    /// Has small writes sent at once.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::System(stream) => stream.set_nodelay(true),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Connection::System(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Connection::Memory(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::System(stream) => stream.is_write_vectored(),
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
