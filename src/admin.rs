//! The admin address: health, readiness and metrics of the node, and what other rooms bring.
//!
//! What may not enter: anything a client can reach.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::network::{Binding, Connection, Network, Socket};
use crate::readiness::Reasons;
use crate::telemetry::limit::Every;

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
    reasons: Reasons,
    metrics: Registry,
}

impl Admin {
    /// A starting node with these metrics.
    pub fn new(metrics: Registry) -> Self {
        Self {
            readiness: RwLock::new(Readiness::Starting),
            reasons: Reasons::default(),
            metrics,
        }
    }

    /// The metrics, in the text format of OpenMetrics.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.metrics)?;
        Ok(body)
    }

    /// What may speak against traffic to a node that serves.
    pub fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    /// Whether the node wants traffic.
    pub fn is_ready(&self) -> bool {
        *self.readiness.read() == Readiness::Ready && self.reasons.held().required.is_empty()
    }

    /// Says whether the node wants traffic from now on.
    pub fn set(&self, readiness: Readiness) {
        *self.readiness.write() = readiness;
    }
}

/// The admin address, bound.
pub struct AdminServer(Socket);

impl AdminServer {
    const PAUSE: Duration = Duration::from_millis(100);

    /// Binds the address.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(address: SocketAddr, network: &Network) -> io::Result<Self> {
        network.bind(address, Binding::default()).map(Self)
    }

    /// The address in use, for one that was bound with port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_address()
    }

    /// Answers until `stop` is cancelled, by `more` routes too.
    pub async fn run(self, admin: Arc<Admin>, more: Router, stop: CancellationToken) {
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(admin)
            .merge(more);
        let server = axum::serve(Accepting(self.0), routes)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin address does not answer any more");
        }
    }
}

/// A socket as the HTTP server takes connections from it.
struct Accepting(Socket);

impl axum::serve::Listener for Accepting {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                // Out of descriptors, most likely: trying again at once would only spin.
                Err(error) => {
                    static LINE: Every = Every::new(Duration::from_secs(1));
                    if let Some(held_back) = LINE.pass() {
                        tracing::error!(%error, held_back, "the admin address cannot accept: trying again");
                    }
                    tokio::time::sleep(AdminServer::PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_address()
    }
}

/// A first line for programs, and a line for each reason that holds.
async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let held = admin.reasons.held();
    let (status, first) = match *admin.readiness.read() {
        Readiness::Ready if held.required.is_empty() => (StatusCode::OK, "ready"),
        Readiness::Ready => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let mut body = format!("{first}\n");
    for why in &held.required {
        body += &format!("{why}\n");
    }
    for why in &held.ignored {
        body += &format!("ignored: {why}\n");
    }
    (status, body)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics() {
        Ok(body) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_says_what_is_wrong_and_fails_where_that_is_asked_for() {
        let admin = Arc::new(Admin::new(Registry::default()));
        let said = async || {
            let (status, body) = readyz(State(Arc::clone(&admin))).await;
            (status.as_u16(), body)
        };
        assert_eq!(said().await, (503, "starting\n".to_owned()));
        admin.set(Readiness::Ready);
        assert_eq!(said().await, (200, "ready\n".to_owned()));
        let reasons = admin.reasons();
        let (small, large) = (reasons.reason(false), reasons.reason(true));
        small.holds("a small one");
        assert_eq!(
            said().await,
            (200, "ready\nignored: a small one\n".to_owned())
        );
        large.holds("a large one");
        let both = "not ready\na large one\nignored: a small one\n".to_owned();
        assert_eq!(said().await, (503, both));
        drop((small, large));
        assert_eq!(said().await, (200, "ready\n".to_owned()));
    }
}
