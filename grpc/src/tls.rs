//! TLS with a backend.

use std::path::Path;
use std::sync::Arc;

use linkgate_filter::backend::BackendTls;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::address::Address;
use crate::error::ConnectError;

const HTTP2: &[u8] = b"h2";

/// Has the backend prove who it is, and proves who the gateway is, if that is configured.
pub(crate) async fn shake(
    stream: TcpStream,
    address: &Address,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let domain = address.settings.tls.as_ref();
    let domain = domain.and_then(|tls| tls.domain.as_deref());
    let name = domain.unwrap_or(address.origin.host().unwrap_or_default());
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(std::io::Error::other)?;
    // It reads files, and there are many roots to parse.
    let settings = Arc::clone(&address.settings);
    let config = spawn_blocking(move || config(settings.tls.as_ref())).await;
    let config = config.map_err(std::io::Error::other)??;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await?;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(HTTP2) {
        return Err(ConnectError::NoHttp2);
    }
    Ok(stream)
}

/// Files are small, and read for each connection, so that changed ones count.
fn config(tls: Option<&BackendTls>) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    match tls.and_then(|tls| tls.ca.as_deref()) {
        Some(path) => {
            for certificate in certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| useless(path, error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(ConnectError::NoRoots);
            }
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(std::io::Error::other)?;
    let config = config.with_root_certificates(roots);
    let own = tls.and_then(|tls| tls.cert.as_deref().zip(tls.key.as_deref()));
    let mut config = match own {
        Some((cert, key)) => {
            let own = PrivateKeyDer::from_pem_slice(&read(key)?);
            let own = own.map_err(|error| useless(key, error))?;
            let pair = config.with_client_auth_cert(certificates(cert)?, own);
            pair.map_err(|error| useless(cert, error))?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(useless(path, "it has no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(useless(path, error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|error| ConnectError::File {
        path: path.to_owned(),
        error,
    })
}

fn useless(path: &Path, why: impl std::fmt::Display) -> ConnectError {
    ConnectError::Content {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
