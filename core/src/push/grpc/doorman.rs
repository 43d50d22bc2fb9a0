//! Asks every call who it is from.

use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::push::auth::{Callers, Grant};
use crate::push::config::GrpcCaller;
use crate::push::metrics::PushMetrics;
use crate::reception::credentials::bearer;
use crate::reception::{Full, Guest};

/// Intercepts every call before its body is read, so that a stranger costs nothing; the call goes on with its [`Grant`].
#[derive(Clone)]
pub(super) struct Doorman {
    callers: Callers,
    metrics: PushMetrics,
}

impl Interceptor for Doorman {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let grant = self.admit(&request).inspect_err(|_| {
            self.metrics.refused("push.unauthenticated");
        })?;
        if let Some(guest) = request.extensions().get::<Guest>() {
            guest.known().map_err(|Full| {
                self.metrics.refused("push.overloaded");
                Status::unavailable("too many connections are open here: try again later")
            })?;
        }
        request.extensions_mut().insert(grant);
        Ok(request)
    }
}

impl Doorman {
    pub(super) fn new(callers: &[GrpcCaller], metrics: PushMetrics) -> Self {
        let callers = Callers::new(callers);
        Self { callers, metrics }
    }

    pub(super) fn callers(&self) -> &Callers {
        &self.callers
    }

    /// What the caller may do.
    fn admit(&self, request: &Request<()>) -> Result<Grant, Status> {
        if self.callers.are_open() {
            return Ok(Grant::All);
        }
        if let Some(token) = header(request.metadata()).and_then(bearer) {
            return self
                .callers
                .by_token(token)
                .ok_or_else(|| Status::unauthenticated("the token is not known"));
        }
        let Some(shown) = request.extensions().get() else {
            return Err(Status::unauthenticated(
                "a token is missing: send `authorization: Bearer ...`",
            ));
        };
        self.callers
            .by_certificate(shown)
            .ok_or_else(|| Status::unauthenticated("the certificate's name is not known"))
    }
}

fn header(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("authorization")?.to_str().ok()
}
