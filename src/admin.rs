//! The admin address: health, readiness and metrics of the node, and what other rooms bring.
//!
//! What may not enter: anything a client can reach.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the node wants traffic, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not all of it runs yet.
    Starting,
    /// It serves.
    Ready,
    /// It lets its links go.
    Stopping,
}

/// What the admin address shows.
pub struct Admin {
    readiness: RwLock<Readiness>,
    metrics: Registry,
}

impl Admin {
    /// A starting node with these metrics.
    pub fn new(metrics: Registry) -> Self {
        Self {
            readiness: RwLock::new(Readiness::Starting),
            metrics,
        }
    }

    /// Says whether the node wants traffic from now on.
    pub fn set(&self, readiness: Readiness) {
        *self.readiness.write() = readiness;
    }
}

/// The admin address, bound.
pub struct AdminServer(TcpListener);

impl AdminServer {
    /// Binds the address.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// The address in use, for one that was bound with port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until `stop` is cancelled, by `more` routes too.
    pub async fn run(self, admin: Arc<Admin>, more: Router, stop: CancellationToken) {
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(admin)
            .merge(more);
        let server = axum::serve(self.0, routes)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin address does not answer any more");
        }
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    match *admin.readiness.read() {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &admin.metrics) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
