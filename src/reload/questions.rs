//! What would change, asked of a running node: `POST /v1/plan` on the admin address.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, post};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::compare::Difference;

/// Documents by name, to take the place of all that are not named on the node's command line.
#[derive(Serialize, Deserialize)]
pub struct Proposal {
    /// Their texts.
    pub documents: BTreeMap<String, String>,
}

/// A question, and where its answer goes.
pub(super) struct Question {
    pub(super) proposal: Proposal,
    pub(super) answer: oneshot::Sender<Result<Vec<Difference>, String>>,
}

/// The largest proposal, in bytes.
const LARGEST: usize = 64 << 20;

/// Questions as they come; one at a time is looked into.
pub(super) fn desk() -> (Router, mpsc::Receiver<Question>) {
    let (ask, questions) = mpsc::channel(1);
    let route = post(answer)
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(ask);
    (Router::new().route("/v1/plan", route), questions)
}

async fn answer(
    State(ask): State<mpsc::Sender<Question>>,
    Json(proposal): Json<Proposal>,
) -> Response {
    let (answer, answered) = oneshot::channel();
    let question = Question { proposal, answer };
    if ask.send(question).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(Ok(differences)) => Json(differences).into_response(),
        Ok(Err(problems)) => (StatusCode::UNPROCESSABLE_ENTITY, problems).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
