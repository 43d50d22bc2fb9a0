//! The options that say which gateway to connect to and how, for the tools that do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use linkgate_filter::Form;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use linkgate_client::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Gateway {
    /// Where the gateway listens; `ws://` and the path `/ws` may be left out
    #[arg(default_value = "ws://127.0.0.1:8080/ws", value_parser = Target::check_url)]
    pub(crate) url: String,
    /// The bizID, for a listener with `auth: insecure_query`
    #[arg(long, value_name = "BIZ_ID")]
    pub(crate) biz: Option<String>,
    /// A file of PEM certificates to trust for `wss://`, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Gateway {
    /// The target without a user; the error is a sentence.
    pub(crate) fn target(&self, form: Form) -> Result<Target, String> {
        Ok(Target {
            url: self.url.clone(),
            biz_id: self.biz.clone(),
            form,
            tls: self.ca.as_deref().map(trusting).transpose()?,
            ..Target::default()
        })
    }
}

fn trusting(file: &Path) -> Result<Arc<rustls::ClientConfig>, String> {
    let bad = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))? {
        let certificate = certificate.map_err(|e| bad(&e))?;
        roots.add(certificate).map_err(|e| bad(&e))?;
    }
    if roots.is_empty() {
        return Err(bad(
            &"holds no certificate (a block that begins with -----BEGIN CERTIFICATE-----)",
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&e))?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}
