//! The edge to the network: names to addresses, addresses to channels. Tests put an in-memory twin in its place.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use linkgate_filter::runner::Edges;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Transport, Identity};

use crate::address::{Address, Settings};
use crate::gather::Gathered;

/// Opens channels and finds addresses.
pub trait Connector: Send + Sync + 'static {
    /// A channel that connects with its first call, and again after its connection is lost.
    fn channel(&self, address: &Address) -> Result<Channel, ConnectError>;

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

/// Why no channel can be opened. For the log of the one who runs the gateway.
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
    /// A setting that the transport refuses, with its reason.
    #[error("{0}")]
    Transport(String),
}

impl From<tonic::transport::Error> for ConnectError {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Transport(crate::chain(&error))
    }
}

/// TCP and TLS.
#[derive(Debug)]
pub struct Network;

impl Connector for Network {
    fn channel(&self, address: &Address) -> Result<Channel, ConnectError> {
        let mut transport = transport(address)?;
        if address.uri.scheme() == Some(&http::uri::Scheme::HTTPS) {
            transport = transport.tls_config(tls(address)?)?;
        }
        Ok(transport.connect_lazy())
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found.collect())
        })
    }
}

/// Everything but TLS and the connection itself.
pub fn transport(address: &Address) -> Result<Transport, ConnectError> {
    let Settings {
        keep_alive,
        connect_timeout,
        ..
    } = &*address.settings;
    let transport = Transport::from(address.uri.clone())
        .origin(address.origin.clone())
        .executor(Gathered)
        .connect_timeout(**connect_timeout)
        .http2_keep_alive_interval(*keep_alive.interval)
        .keep_alive_timeout(*keep_alive.timeout)
        .keep_alive_while_idle(keep_alive.while_idle)
        .user_agent(concat!("linkgate/", env!("CARGO_PKG_VERSION")))?;
    Ok(transport)
}

fn tls(address: &Address) -> Result<ClientTlsConfig, ConnectError> {
    let Settings {
        tls,
        connect_timeout,
        ..
    } = &*address.settings;
    let (ca, own, domain) = match tls {
        Some(tls) => (
            tls.ca.as_ref(),
            tls.cert.as_ref().zip(tls.key.as_ref()),
            tls.domain.as_deref(),
        ),
        None => (None, None, None),
    };
    let mut config = ClientTlsConfig::new().timeout(**connect_timeout);
    config = match ca {
        Some(path) => config.ca_certificate(Certificate::from_pem(read(path)?)),
        None => config.with_native_roots(),
    };
    if let Some((cert, key)) = own {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    let host = address.origin.host().unwrap_or_default();
    Ok(config.domain_name(domain.unwrap_or(host).trim_matches(['[', ']'])))
}

/// The files are small and read once per channel.
fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|error| ConnectError::File {
        path: path.to_owned(),
        error,
    })
}
