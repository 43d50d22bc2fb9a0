//! The edge to the network: names to addresses, addresses to connections. Tests put an in-memory twin in its place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::uri::Scheme;
use linkgate_filter::runner::Edges;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::address::Address;
use crate::error::ConnectError;
use crate::tls;

/// A stream of bytes to an address.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Opens connections and finds addresses.
pub trait Connector: Send + Sync + 'static {
    /// Opens a connection: TCP, and TLS if the scheme asks for it.
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>>;

    /// All addresses of a host.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// A connector among the edges of a node.
pub struct Brought(Arc<dyn Connector>);

/// Brings a connector to all who call gRPC backends over these edges.
#[must_use]
pub fn with_connector(edges: Edges, connector: &Arc<dyn Connector>) -> Edges {
    edges.with_other(Arc::new(Brought(Arc::clone(connector))))
}

/// The connector that a node has brought; where it has brought none, TCP and TLS.
pub fn connector(brought: Option<Arc<Brought>>) -> Arc<dyn Connector> {
    match brought {
        Some(brought) => Arc::clone(&brought.0),
        None => Arc::new(Network),
    }
}

/// TCP and TLS.
#[derive(Debug)]
pub struct Network;

impl Connector for Network {
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let address = address.clone();
        Box::pin(async move {
            let stream = dial(&address.uri).await?;
            if address.uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(Box::new(stream) as _);
            }
            Ok(Box::new(tls::shake(stream, &address).await?) as _)
        })
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found.collect())
        })
    }
}

/// Dials the addresses of the host, those of both families in turn: the next when one fails, or lets wait.
async fn dial(uri: &http::Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = match uri.port_u16() {
        Some(port) => port,
        None if uri.scheme() == Some(&Scheme::HTTPS) => 443,
        None => 80,
    };
    let found = tokio::net::lookup_host((host, port)).await?;
    let stream = first(in_turn(&found.collect::<Vec<_>>()), TcpStream::connect).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long an address is waited for before the next one is dialled as well.
const NEXT: Duration = Duration::from_millis(250);

/// The first that connects.
async fn first<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut left = addresses.into_iter();
    let mut dialled = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        let next = left.next();
        let is_last = next.is_none();
        dialled.extend(next.map(&connect));
        if dialled.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            Some(connected) = dialled.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            },
            () = sleep(NEXT), if !is_last => {}
        }
    }
}

/// Of one family and of the other in turn, as the system has ordered them.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first = |address: &SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let (of_one, of_other): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first);
    let (mut of_one, mut of_other) = (of_one.into_iter(), of_other.into_iter());
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(of_one.next());
        ordered.extend(of_other.next());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turn(&found), expected);
        assert_eq!(in_turn(&[]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_or_refuses_holds_nobody_up() {
        let begun = tokio::time::Instant::now();
        let found = addresses(&["[::1]:1", "[::2]:2", "[::3]:3", "[::4]:4"]);
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(io::ErrorKind::ConnectionRefused.into()),
                port => Ok(port),
            }
        };
        assert_eq!(first(found.clone(), connect).await.unwrap(), 3);
        assert_eq!(begun.elapsed(), NEXT);
        let refused = first(found[1..2].to_vec(), connect).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first(Vec::new(), connect).await.is_err());
    }
}
