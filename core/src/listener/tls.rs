//! The listener's certificate and key, made into what rustls serves. No file is read here: whoever reads the
//! configuration has read what it names.

use std::sync::Arc;

use linkgate_filter::problem::{Problem, Problems};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::config::TlsConfig;

/// What TLS 1.2 and 1.3 handshakes of this listener are served with.
pub(super) fn server_config(config: &TlsConfig) -> Result<Arc<ServerConfig>, Problems> {
    let mut problems = Problems::new();
    let chain = gather(&mut problems, certificates(config));
    let key = gather(&mut problems, private_key(config));
    let (Some(chain), Some(key)) = (chain, key) else {
        return Err(problems);
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|versions| versions.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key));
    match server {
        Ok(mut server) => {
            server.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(server))
        }
        Err(error) => {
            problems
                .at(
                    "key",
                    format!("certificate and key do not work together: {error}"),
                )
                .hint("`key` must be the private key of the first certificate in `cert`");
            Err(problems)
        }
    }
}

fn certificates(config: &TlsConfig) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let text = text(config, "cert", &config.cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(Problem::new("cert", "there is no certificate in it")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(Problem::new(
            "cert",
            format!("not a certificate chain in PEM: {error}"),
        )),
    }
}

fn private_key(config: &TlsConfig) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = text(config, "key", config.key.expose())?;
    // What the parser says of a broken key may repeat a part of it.
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| Problem::new("key", "there is no private key in PEM in it"))
}

fn text<'a>(config: &TlsConfig, key: &str, given: &'a str) -> Result<&'a str, Problem> {
    // Nothing given is repeated: what was taken for a path may be a mangled key.
    let unread = config.unread.iter().find(|(name, _)| *name == key);
    if let Some((_, why)) = unread {
        let what = format!("cannot read the file that it names: {why}");
        Err(Problem::new(key, what))
    } else if given.contains("-----BEGIN") {
        Ok(given)
    } else {
        Err(Problem::new(
            key,
            "neither PEM text nor a file that holds some",
        ))
    }
}

fn gather<T>(problems: &mut Problems, part: Result<T, Problem>) -> Option<T> {
    part.map_err(|problem| problems.push(problem)).ok()
}
