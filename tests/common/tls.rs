//! A certificate authority for a test, and what it vouches for.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// An authority, and a certificate for `localhost` and 127.0.0.1 by it, in files. They are removed with this value.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).unwrap();
        // OpenSSL takes what bears the authority's name for signed by itself.
        server.distinguished_name.push(DnType::CommonName, "server");
        let server = server.signed_by(&key, &authority).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, pem) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", server.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { folder }
    }

    /// Puts its files in the place of those of `other`, as a renewal does.
    pub(crate) fn take_the_place_of(&self, other: &Self) {
        for name in ["key.pem", "cert.pem"] {
            std::fs::copy(
                self.folder.path().join(name),
                other.folder.path().join(name),
            )
            .unwrap();
        }
    }

    /// The authority's own certificate, for clients to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file of the server's: `cert.pem` or `key.pem`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A client that trusts nobody else.
    pub(crate) fn trusting(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.ca()).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// The listener's `tls`.
    pub(crate) fn listener(&self) -> String {
        let (cert, key) = (self.file("cert.pem"), self.file("key.pem"));
        format!("tls: {{ cert: \"{cert}\", key: \"{key}\" }}")
    }
}
