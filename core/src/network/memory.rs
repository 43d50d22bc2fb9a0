//! A network within this process.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

/// What a connection holds of what its other end has not read, in bytes.
const BUFFER: usize = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;

/// A network within this process. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork(Arc<Mutex<Bound>>);

#[derive(Debug, Default)]
struct Bound {
    addresses: BTreeMap<SocketAddr, mpsc::Sender<Arrived>>,
    /// The last port that was chosen for port 0.
    port: u16,
}

/// The far end's stream, and the near end's address.
type Arrived = (DuplexStream, SocketAddr);

impl MemoryNetwork {
    pub(super) fn bind(&self, mut address: SocketAddr) -> io::Result<MemorySocket> {
        let mut bound = self.0.lock();
        bound.addresses.retain(|_, sender| !sender.is_closed());
        let any = address.port() == 0;
        while address.port() == 0 || bound.addresses.contains_key(&address) {
            if !any {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            bound.port = bound.port.wrapping_add(1);
            address.set_port(bound.port);
        }
        let (sender, arrived) = mpsc::channel(BACKLOG);
        bound.addresses.insert(address, sender);
        Ok(MemorySocket {
            address,
            arrived: tokio::sync::Mutex::new(arrived),
        })
    }

    /// Connects to an address, from another one.
    ///
    /// # Errors
    /// Nobody has bound the address, or too many wait there.
    pub fn dial(&self, to: SocketAddr, from: SocketAddr) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let sender = self.0.lock().addresses.get(&to).cloned();
        let (near, far) = duplex(BUFFER);
        let sent = sender.ok_or_else(refused)?.try_send((far, from));
        sent.map_err(|_| refused())?;
        Ok(near)
    }
}

/// An address bound on a [`MemoryNetwork`], until it is dropped.
#[derive(Debug)]
pub struct MemorySocket {
    address: SocketAddr,
    /// Shared by a listener and its successor, who wait here side by side for a moment.
    arrived: tokio::sync::Mutex<mpsc::Receiver<Arrived>>,
}

impl MemorySocket {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Arrived> {
        let arrived = self.arrived.lock().await.recv().await;
        arrived.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_dialled_is_accepted_where_it_was_bound() {
        let network = MemoryNetwork::default();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (one, other) = (network.bind(any).unwrap(), network.bind(any).unwrap());
        assert_ne!(one.address(), other.address());
        let from = "10.0.0.7:1".parse().unwrap();
        let mut near = network.dial(other.address(), from).unwrap();
        let (mut far, peer) = other.accept().await.unwrap();
        assert_eq!(peer, from);
        near.write_all(b"hi").await.unwrap();
        let mut read = [0; 2];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hi");
    }

    #[tokio::test]
    async fn an_address_is_taken_until_its_socket_is_dropped() {
        let network = MemoryNetwork::default();
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let socket = network.bind(address).unwrap();
        assert!(network.bind(address).is_err());
        drop(socket);
        assert!(network.dial(address, address).is_err());
        assert!(network.bind(address).is_ok());
    }
}
