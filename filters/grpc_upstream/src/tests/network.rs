//! Over real sockets on the loopback: plain TCP, TLS and mutual TLS.

use std::path::Path;
use std::sync::Arc;

use linkgate_filter::Outcome;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::memory::{Backend, caller_of, deliver, fault, pool_over};
use crate::call::Caller;
use linkgate_grpc::Network;

/// A certificate authority and what it has signed, as PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn sign(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }
}

async fn serve(backend: &Backend, tls: Option<ServerTlsConfig>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = backend.routes_with(tls);
    tokio::spawn(routes.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

fn caller(backend: &serde_json::Value) -> Arc<Caller> {
    let pool = pool_over(Arc::new(Network), backend, &Arc::default());
    // Real time: a busy machine gets time enough.
    let config = json!({
        "try_timeout": "20s", "deadline": "20s", "retry": { "max_attempts": 1 },
        "breaker": { "failures": 100, "min_calls": 100 },
    });
    caller_of(pool, config)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn plain_tcp() {
    let port = serve(&Backend::echo(), None).await;
    for endpoint in [
        format!("127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("dns:///localhost:{port}"),
    ] {
        let caller = caller(&json!({ "endpoints": [endpoint] }));
        // `localhost` may stand for ::1 too, where nobody listens.
        let mut outcome = deliver(&caller, "k").await;
        if endpoint.starts_with("dns:") && matches!(outcome, Outcome::Failed(_)) {
            outcome = deliver(&caller, "k").await;
        }
        assert_eq!(outcome, Outcome::accepted("hello"), "{endpoint}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let caller = caller(&json!({ "endpoints": [format!("127.0.0.1:{port}")] }));
    assert_eq!(fault(&caller).await.code, "grpc.unreachable");
}

#[tokio::test]
async fn tls_trusts_the_named_authority_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (cert, key) = authority.sign("chat.internal");
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(cert, key));
    let port = serve(&Backend::echo(), Some(tls)).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca.pem", &authority.pem);
    let other = write(folder.path(), "other.pem", &stranger.pem);
    let endpoints = [format!("https://127.0.0.1:{port}")];

    let good = json!({ "endpoints": endpoints, "tls": { "ca": ca, "domain": "chat.internal" } });
    assert_eq!(
        deliver(&caller(&good), "k").await,
        Outcome::accepted("hello")
    );
    for bad in [
        json!({ "endpoints": endpoints, "tls": { "ca": ca } }),
        json!({ "endpoints": endpoints, "tls": { "ca": ca, "domain": "other.internal" } }),
        json!({ "endpoints": endpoints, "tls": { "ca": other, "domain": "chat.internal" } }),
        json!({ "endpoints": endpoints, "tls": { "ca": "/no/such/file", "domain": "chat.internal" } }),
        json!({ "endpoints": endpoints }),
    ] {
        assert_eq!(fault(&caller(&bad)).await.code, "grpc.unreachable", "{bad}");
    }
}

#[tokio::test]
async fn mutual_tls_shows_the_gateways_certificate_and_reads_it_again() {
    let authority = Authority::new();
    let (cert, key) = authority.sign("localhost");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(&authority.pem));
    let port = serve(&Backend::echo(), Some(tls)).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca.pem", &authority.pem);
    let sign = |by: &Authority| {
        let (cert, key) = by.sign("linkgate");
        let cert = write(folder.path(), "own.pem", &cert);
        (cert, write(folder.path(), "own.key", &key))
    };
    let (cert, key) = sign(&Authority::new());
    let endpoints = [format!("localhost:{port}")];

    let anonymous = json!({ "endpoints": endpoints, "tls": { "ca": ca } });
    fault(&caller(&anonymous)).await;

    let backend = json!({ "endpoints": endpoints, "tls": { "ca": ca, "cert": cert, "key": key } });
    let caller = caller(&backend);
    fault(&caller).await;
    sign(&authority);
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
}
