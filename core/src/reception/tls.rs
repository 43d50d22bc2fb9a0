//! TLS of an address for callers, with or without certificates of theirs.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::Tls;
use super::credentials::Shown;
use crate::network::{Connection, Stream};

/// Why certificates are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// This is not PEM, or something else is in it.
    #[error("`{0}` holds no PEM of that kind")]
    Pem(&'static str),
    /// The authorities of callers are of no use.
    #[error("`client_ca`: {0}")]
    Authorities(String),
    /// What rustls says.
    #[error("`cert` and `key`: {0}")]
    Pair(#[from] rustls::Error),
}

/// Opens connections, with TLS where the address has certificates.
#[derive(Clone)]
pub struct Acceptor(Option<TlsAcceptor>);

impl Acceptor {
    /// For what is spoken here, as TLS names it (`h2`).
    ///
    /// # Errors
    /// The certificates are of no use.
    pub fn new(tls: Option<&Tls>, protocol: &str) -> Result<Self, TlsError> {
        let Some(tls) = tls else {
            return Ok(Self(None));
        };
        let mut config = server_config(tls)?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self(Some(TlsAcceptor::from(Arc::new(config)))))
    }

    /// The connection, and the certificate that the caller has shown; it was verified.
    ///
    /// # Errors
    /// The handshake failed.
    pub(crate) async fn open(&self, connection: Connection) -> io::Result<(Stream, Option<Shown>)> {
        let Some(acceptor) = &self.0 else {
            return Ok((Either::Left(connection), None));
        };
        let stream = acceptor.accept(connection).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let own = shown.and_then(|chain| chain.first()).cloned().map(Shown);
        Ok((Either::Right(Box::new(stream)), own))
    }
}

fn server_config(tls: &Tls) -> Result<ServerConfig, TlsError> {
    let chain = certificates("cert", &tls.cert)?;
    // What the parser says of a broken key may repeat a part of it.
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose().as_bytes())
        .map_err(|_| TlsError::Pem("key"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", authorities)? {
                roots.add(authority)?;
            }
            // Whoever comes without a certificate needs a token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Authorities(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(builder.with_single_cert(chain, key)?)
}

fn certificates(key: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(TlsError::Pem(key))
}
