//! The admin address: health, readiness and metrics of the node, and what other rooms bring.
//!
//! What may not enter: anything a client can reach.

mod body;
mod config;
mod guard;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use self::config::{AdminConfig, Operator, Scope};
pub use self::server::{AdminError, AdminServer};
use crate::readiness::Reasons;

/// How far a node has come from its start to its end. It wants traffic while it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not all of it runs yet.
    Starting,
    /// It takes links and messages.
    Serving,
    /// It takes nothing new; what is unsettled settles, and its links go.
    Draining,
    /// Its links are let go, and the rest of it ends.
    Stopping,
}

/// What the admin address shows.
pub struct Admin {
    phase: RwLock<Phase>,
    reasons: Reasons,
    metrics: Registry,
}

impl Admin {
    /// A starting node with these metrics.
    pub fn new(metrics: Registry) -> Self {
        Self {
            phase: RwLock::new(Phase::Starting),
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
        *self.phase.read() == Phase::Serving && self.reasons.held().required.is_empty()
    }

    /// How far the node has come.
    pub fn phase(&self) -> Phase {
        *self.phase.read()
    }

    /// The node is in this phase from now on.
    pub fn enter(&self, phase: Phase) {
        *self.phase.write() = phase;
    }
}

/// What every node answers.
fn own_routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// A first line for programs, and a line for each reason that holds.
async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let held = admin.reasons.held();
    let (status, first) = match *admin.phase.read() {
        Phase::Serving if held.required.is_empty() => (StatusCode::OK, "ready"),
        Phase::Serving => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
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
mod tests;
