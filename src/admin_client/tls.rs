//! TLS to an admin address, with a certificate of the operator where there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsConnector;

/// What an `https://` address is asked with.
#[derive(Debug, clap::Args)]
pub(super) struct Certificates {
    /// Certificates to trust in place of the system's, in PEM, for an `https://` address
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate of an operator, in PEM, for a node with `admin.tls.client_ca`
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of --cert, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Certificates {
    /// The error is a sentence.
    pub(super) fn connector(&self) -> Result<TlsConnector, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots()?);
        let config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                // What the parser says of a broken key may repeat a part of it.
                let own = PrivateKeyDer::from_pem_file(key)
                    .map_err(|_| format!("`{}` holds no private key in PEM", key.display()))?;
                let config = builder.with_client_auth_cert(certificates(cert)?, own);
                config.map_err(|error| format!("--cert and --key: {error}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for certificate in certificates(ca)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| format!("`{}`: {error}", ca.display()))?;
                }
            }
            // Some of a system's may be of no use; what is missing shows in the handshake.
            None => drop(
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
            ),
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = all.map_err(|error| format!("`{}`: {error}", path.display()))?;
    match all.is_empty() {
        true => Err(format!("`{}` holds no certificate in PEM", path.display())),
        false => Ok(all),
    }
}
