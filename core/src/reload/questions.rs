//! What would change, asked of a running node: `POST /v1/plan` on the admin address.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, post};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

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
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What would change, or why that cannot be said.
pub(super) type Answer = Result<Vec<Difference>, String>;

impl Proposal {
    /// The largest that is compared, in bytes as it is sent.
    pub const LARGEST: usize = 4 << 20;

    /// What is said of a larger one.
    pub fn too_large() -> String {
        format!(
            "the proposal is larger than {} MiB, the most that a node compares with what runs; `linkgate plan OLD NEW` \
             compares without a node",
            Self::LARGEST >> 20
        )
    }
}

/// Questions that are read, or wait for those before them.
const MOST: usize = 4;

struct Desk {
    ask: mpsc::Sender<Question>,
    room: Semaphore,
}

/// Questions as they come; one at a time is looked into.
pub(super) fn desk() -> (Router, mpsc::Receiver<Question>) {
    let (ask, questions) = mpsc::channel(1);
    let room = Semaphore::new(MOST);
    let route = post(answer)
        .layer(DefaultBodyLimit::max(Proposal::LARGEST))
        .with_state(Arc::new(Desk { ask, room }));
    (Router::new().route("/v1/plan", route), questions)
}

async fn answer(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let Ok(_permit) = desk.room.try_acquire() else {
        let why = format!("{MOST} plans are being made already: ask again later\n");
        let later = [(header::RETRY_AFTER, "5")];
        return (StatusCode::SERVICE_UNAVAILABLE, later, why).into_response();
    };
    let proposal = match Json::from_request(request, &()).await {
        Ok(Json(proposal)) => proposal,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return (rejection.status(), Proposal::too_large() + "\n").into_response();
        }
        Err(rejection) => return rejection.into_response(),
    };
    let (answer, answered) = oneshot::channel();
    let question = Question { proposal, answer };
    if desk.ask.send(question).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(Ok(differences)) => Json(differences).into_response(),
        Ok(Err(problems)) => (StatusCode::UNPROCESSABLE_ENTITY, problems).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt;

    use super::*;

    fn request(documents: &str) -> Request {
        Request::post("/v1/plan")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(format!("{{\"documents\": {{{documents}}}}}")))
            .unwrap()
    }

    async fn said(response: Response) -> String {
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_proposal_that_is_too_large_is_refused_with_a_reason() {
        let (routes, _questions) = desk();
        let document = format!("\"a.yaml\": \"{}\"", "x".repeat(Proposal::LARGEST));
        let response = routes.oneshot(request(&document)).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let said = said(response).await;
        assert!(said.contains("larger than 4 MiB"), "{said}");
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let (routes, mut questions) = desk();
        let mut asked = Vec::new();
        for _ in 0..MOST {
            let mut asking = Box::pin(routes.clone().oneshot(request("")));
            assert!(futures_util::poll!(asking.as_mut()).is_pending());
            asked.push(asking);
        }
        let refused = routes.clone().oneshot(request("")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(said(refused).await.contains("ask again later"));
        let answer = async {
            for _ in 0..MOST {
                let _ = questions.recv().await.unwrap().answer.send(Ok(Vec::new()));
            }
        };
        let (responses, ()) = tokio::join!(futures_util::future::join_all(asked), answer);
        for response in responses {
            assert_eq!(response.unwrap().status(), StatusCode::OK);
        }
    }
}
