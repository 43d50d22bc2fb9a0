//! The edge to the network: names to addresses, addresses to connections. Tests put an in-memory twin in its place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::uri::Scheme;
use linkgate_filter::runner::Edges;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

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
            let within = *address.settings.connect_timeout;
            let stream = timeout(within, dial(&address.uri)).await;
            let stream = stream.map_err(|_| ConnectError::Late)??;
            if address.uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(Box::new(stream) as _);
            }
            let shaken = timeout(within, tls::shake(stream, &address)).await;
            let stream = shaken.map_err(|_| ConnectError::Late)??;
            Ok(Box::new(stream) as _)
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

async fn dial(uri: &http::Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = match uri.port_u16() {
        Some(port) => port,
        None if uri.scheme() == Some(&Scheme::HTTPS) => 443,
        None => 80,
    };
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
