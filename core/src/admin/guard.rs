//! What a request has to show before it is answered: a host that is ours, a token or certificate, and the scope.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::Come;
use super::config::{AdminConfig, Scope};
use crate::reception::credentials::{Known, Shown, bearer};
use crate::reception::{Guest, Reason};

/// Who may ask what.
pub(super) struct Guard {
    operators: Known<Vec<Scope>>,
    hosts: HashSet<String>,
}

/// Paths that answer whoever asks, or ask for themselves.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/push"];

/// Why a request is not answered.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str);

impl Guard {
    pub(super) fn new(config: &AdminConfig) -> Self {
        let operators = config.auth.iter().map(|operator| {
            let name = operator.client_cert.as_deref();
            (operator.token.as_ref(), name, operator.scopes.clone())
        });
        let hosts = config.hosts.iter().map(|host| host.to_ascii_lowercase());
        Self {
            operators: Known::new(operators),
            hosts: hosts.collect(),
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        if !self.is_ours(request.headers()) {
            return Err(Refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "the request's `Host` is no name of this address: use its IP address, or add the name to `admin.hosts`\n",
            ));
        }
        if self.operators.is_empty() {
            return Ok(());
        }
        let header = request.headers().get(header::AUTHORIZATION);
        let token = header.and_then(|header| bearer(header.to_str().ok()?));
        let shown = request.extensions().get::<Shown>();
        let scopes = match (token, shown) {
            (Some(token), _) => self.operators.by_token(token),
            (None, Some(shown)) => self.operators.by_certificate(shown),
            (None, None) => None,
        };
        let scopes = scopes.ok_or(Refusal(
            StatusCode::UNAUTHORIZED,
            "a token that is known here is missing: send `Authorization: Bearer ...`\n",
        ))?;
        let needed = scope(request.method());
        if scopes.contains(&needed) {
            return Ok(());
        }
        let why = match needed {
            Scope::Read => "this needs an operator with the scope `read`\n",
            Scope::Operate => "this needs an operator with the scope `operate`\n",
        };
        Err(Refusal(StatusCode::FORBIDDEN, why))
    }

    /// Whether the request was meant for this address. A web page can have a browser ask any address, but by the name of
    /// the page's own host alone: so a name has to be one of ours, and an IP address is no name.
    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let Ok(host) = host.to_str() else {
            return false;
        };
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name == "localhost" || self.hosts.contains(&name)
    }
}

/// What a request needs: whatever is more than looking is operating.
fn scope(method: &Method) -> Scope {
    if [Method::GET, Method::HEAD].contains(method) {
        Scope::Read
    } else {
        Scope::Operate
    }
}

/// Lets a request through to what answers it, or refuses it.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(guest) = request.extensions().get::<Guest>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let _busy = guest.asks();
    if !OPEN.contains(&request.uri().path()) {
        if let Err(refusal) = guard.admit(&request) {
            guest.refused(Reason::Unknown, &refusal.1.trim_end());
            return refusal.into_response();
        }
        if guest.known().is_err() {
            return too_many().into_response();
        }
    }
    let (request, come) = Come::of(request, &guest);
    let answer = next.run(request).await;
    match come.refused() {
        None => answer,
        Some(Reason::Slow) => StatusCode::REQUEST_TIMEOUT.into_response(),
        Some(_) => too_many().into_response(),
    }
}

fn too_many() -> impl IntoResponse {
    let later = [(header::RETRY_AFTER, "5")];
    let why = "too much is asked of this address: try again later\n";
    (StatusCode::SERVICE_UNAVAILABLE, later, why)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, why) = self;
        if status == StatusCode::UNAUTHORIZED {
            return (status, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response();
        }
        (status, why).into_response()
    }
}
