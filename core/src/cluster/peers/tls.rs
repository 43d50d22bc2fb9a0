//! TLS with the node that is dialled. Its certificate has to come from the authorities of the cluster.

use std::sync::Arc;

use linkgate_grpc::Io;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::cluster::config::PeersTls;
use crate::reception::TlsError;

/// Opens TLS to other nodes.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    /// What every node's certificate bears.
    name: Option<String>,
}

impl Client {
    pub(super) fn new(tls: &PeersTls) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates("ca", &tls.ca)? {
            roots.add(authority)?;
        }
        // What the parser says of a broken key may repeat a part of it.
        let key = PrivateKeyDer::from_pem_slice(tls.key.expose().as_bytes())
            .map_err(|_| TlsError::Pem("key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates("cert", &tls.cert)?, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: tls.name.clone(),
        })
    }

    /// TLS with the node at this host.
    pub(super) async fn open(&self, io: Box<dyn Io>, host: &str) -> std::io::Result<Box<dyn Io>> {
        let name = self.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(std::io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, io).await?))
    }
}

fn certificates(key: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.ok().filter(|chain: &Vec<_>| !chain.is_empty());
    chain.ok_or(TlsError::Pem(key))
}
