//! The calls of `PushService`.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use linkgate_filter::Fault;
use linkgate_proto::v1;
use linkgate_proto::v1::push_service_server::PushService;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::push::auth::Grant;
use crate::push::gathering::Gathering;
use crate::push::requests;
use crate::push::router::{self, Router};

/// `PushService` of one source.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) max_in_flight: usize,
    /// Cancelled when the source stops: streams are read no further.
    pub(super) stop: CancellationToken,
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::PushResponse, Status>> + Send>>;

#[tonic::async_trait]
impl PushService for Service {
    async fn push(
        &self,
        request: Request<v1::PushRequest>,
    ) -> Result<Response<v1::PushResponse>, Status> {
        let grant = grant(&request)?;
        let until = self.patience(request.metadata());
        match self.start(request.into_inner(), &grant) {
            Ok(started) => Ok(Response::new(started.answer(&self.router, until).await)),
            Err(refusal) => Err(status(&refusal.fault)),
        }
    }

    type PushStreamStream = Answers;

    async fn push_stream(
        &self,
        request: Request<Streaming<v1::PushRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let grant = grant(&request)?;
        let until = self.patience(request.metadata());
        let (service, router) = (self.clone(), self.router.clone());
        let answers = request
            .into_inner()
            .take_until(self.stop.clone().cancelled_owned())
            // Started here, one after the other, so that pushes leave in the order they come.
            .map(move |request| request.map(|request| service.start(request, &grant)))
            .map(move |started| answer(router.clone(), started, until))
            .buffer_unordered(self.max_in_flight);
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn answer(
    router: Router,
    started: Result<Result<Gathering, Refusal>, Status>,
    until: Option<Instant>,
) -> Result<v1::PushResponse, Status> {
    match started? {
        Ok(started) => Ok(started.answer(&router, until).await),
        Err(refusal) => Ok(refusal.answer()),
    }
}

impl Service {
    /// When the caller has to be answered, with what is known by then.
    fn patience(&self, metadata: &MetadataMap) -> Option<Instant> {
        let timeout = timeout(metadata.get("grpc-timeout")?.to_str().ok()?)?;
        let way_back = (timeout / 10).min(Duration::from_millis(250));
        self.router
            .clock()
            .now()
            .checked_add(timeout.saturating_sub(way_back))
    }

    /// Sends a push to all its receivers.
    fn start(&self, request: v1::PushRequest, grant: &Grant) -> Result<Gathering, Refusal> {
        let (key, biz_id) = (request.key.clone(), request.biz_id.clone());
        self.try_start(request, grant).map_err(|fault| {
            self.router.metrics().refused(&fault.code);
            Refusal { key, biz_id, fault }
        })
    }

    fn try_start(&self, request: v1::PushRequest, grant: &Grant) -> Result<Gathering, Fault> {
        let (push, receivers) = requests::read(request)?;
        if !grant.covers(&push.biz_id) {
            let fault = Fault::backend(requests::FORBIDDEN);
            return Err(fault.detail("the caller is not bound to this bizID"));
        }
        Gathering::begin(&self.router, push, receivers)
    }
}

/// What the interceptor has found of the caller.
fn grant<T>(request: &Request<T>) -> Result<Grant, Status> {
    let grant = request.extensions().get::<Grant>().cloned();
    grant.ok_or_else(|| Status::internal("the call was not authenticated"))
}

/// What the gRPC status of a refused call is.
fn status(fault: &Fault) -> tonic::Status {
    let code = match &*fault.code {
        requests::INVALID => tonic::Code::InvalidArgument,
        requests::FORBIDDEN => tonic::Code::PermissionDenied,
        router::UNKNOWN_BIZ => tonic::Code::NotFound,
        router::BIZ_NOT_READY => tonic::Code::Unavailable,
        _ => tonic::Code::ResourceExhausted,
    };
    tonic::Status::new(code, fault.to_string())
}

/// A push that was refused as a whole.
struct Refusal {
    key: String,
    biz_id: String,
    fault: Fault,
}

impl Refusal {
    fn answer(self) -> v1::PushResponse {
        v1::PushResponse {
            key: self.key,
            biz_id: self.biz_id,
            outcomes: Vec::new(),
            fault: Some(self.fault.into()),
        }
    }
}

/// A `grpc-timeout` header: up to eight digits and a unit.
pub(super) fn timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}
