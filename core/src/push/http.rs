//! `POST /v1/push` on the admin address: a push in JSON, answered with its outcomes in JSON. For scripts and curl.
//!
//! What may not enter: where users' links are. That is the router's.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router as Routes};
use linkgate_filter::Fault;
use linkgate_filter::units::HumanDuration;
use linkgate_proto::v1;
use serde::Deserialize;

use super::auth::{Callers, Grant};
use super::config::HttpSource;
use super::gathering::Gathering;
use super::requests::{self, FORBIDDEN, INVALID};
use super::router::{self, Router};
use crate::reception::Guest;
use crate::reception::credentials::bearer;

/// The place of a source on the admin address.
pub type HttpSlot = Arc<ArcSwapOption<HttpPush>>;

/// A source that takes pushes by HTTP.
pub struct HttpPush {
    callers: Callers,
    max_message: usize,
    router: Router,
}

/// The code of a call by nobody who is known.
const UNAUTHENTICATED: &str = "push.unauthenticated";

/// What a caller may say beside the push.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patience {
    /// How long the answer may take. What is known by then is answered.
    wait: HumanDuration,
}

impl Default for Patience {
    fn default() -> Self {
        let wait = Duration::from_secs(30).into();
        Self { wait }
    }
}

impl HttpPush {
    /// A source with these callers.
    pub fn new(config: &HttpSource, router: Router) -> Self {
        Self {
            callers: Callers::new(&config.auth),
            max_message: config.max_message.as_usize(),
            router,
        }
    }

    /// What `slot` answers to: as the source in it says, and 404 while there is none.
    pub fn routes(slot: HttpSlot) -> Routes {
        let limit = DefaultBodyLimit::disable();
        let handler = post(push).layer(limit).with_state(slot);
        Routes::new().route("/v1/push", handler)
    }

    fn grant(&self, headers: &HeaderMap) -> Result<Grant, Fault> {
        let header = headers.get(header::AUTHORIZATION);
        let token = header.and_then(|header| bearer(header.to_str().ok()?));
        let refused = |why| Fault::backend(UNAUTHENTICATED).detail(why);
        let token =
            token.ok_or_else(|| refused("a token is missing: send `Authorization: Bearer ...`"))?;
        let grant = self.callers.by_token(token);
        grant.ok_or_else(|| refused("the token is not known"))
    }

    async fn push(
        &self,
        body: &[u8],
        grant: &Grant,
        wait: Duration,
    ) -> Result<v1::PushResponse, Fault> {
        let (push, receivers) = requests::read(requests::from_json(body)?)?;
        if !grant.covers(&push.biz_id) {
            let fault = Fault::backend(FORBIDDEN);
            return Err(fault.detail("the caller is not bound to this `biz_id`"));
        }
        let until = self.router.clock().now().checked_add(wait);
        let started = Gathering::begin(&self.router, push, receivers)?;
        Ok(started.answer(&self.router, until).await)
    }
}

async fn push(
    State(slot): State<HttpSlot>,
    guest: Option<Extension<Guest>>,
    headers: HeaderMap,
    Query(Patience { wait }): Query<Patience>,
    body: Body,
) -> Response {
    let Some(source) = slot.load_full() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let answered = match source.grant(&headers) {
        Ok(_) if guest.is_some_and(|guest| guest.known().is_err()) => {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Ok(grant) => match to_bytes(body, source.max_message).await {
            Ok(body) => source.push(&body, &grant, *wait).await,
            Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        },
        Err(fault) => Err(fault),
    };
    answered.map_or_else(
        |fault| {
            source.router.metrics().refused(&fault.code);
            (status(&fault), Json(v1::Fault::from(fault))).into_response()
        },
        |answer| Json(answer).into_response(),
    )
}

fn status(fault: &Fault) -> StatusCode {
    match &*fault.code {
        INVALID => StatusCode::BAD_REQUEST,
        UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
        FORBIDDEN => StatusCode::FORBIDDEN,
        router::UNKNOWN_BIZ => StatusCode::NOT_FOUND,
        router::BIZ_NOT_READY => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::TOO_MANY_REQUESTS,
    }
}

#[cfg(test)]
mod tests;
