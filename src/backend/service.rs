//! The sample backend as a value, for `linkgate backend`, `linkgate quickstart` and tests.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use linkgate_proto::v1::backend_service_server::{BackendService, BackendServiceServer};
use linkgate_proto::v1::batch_backend_service_server::{
    BatchBackendService, BatchBackendServiceServer,
};
use linkgate_proto::v1::batch_result::Outcome;
use linkgate_proto::v1::presence_service_server::{PresenceService, PresenceServiceServer};
use linkgate_proto::v1::push_report_service_server::{PushReportService, PushReportServiceServer};
use linkgate_proto::v1::{
    BatchOnReceiveRequest, BatchOnReceiveResponse, BatchResult, Fault, OnPresenceRequest,
    OnPresenceResponse, OnReceiveRequest, OnReceiveResponse, OnReportsRequest, OnReportsResponse,
    fault,
};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::behaviour::Behaviour;
use super::chat::Chat;
use super::watch::{Seen, Watch};

/// What the backend does with a message that it accepts.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mode {
    /// Answers with an empty body.
    #[default]
    Accept,
    /// Answers with the message's own body.
    Echo,
    /// Sends it on to the user that it names.
    Chat(Chat),
}

/// A sample backend: all services that a gateway calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// What is wrong with it.
    pub(crate) behaviour: Behaviour,
    /// What it does.
    pub(crate) mode: Mode,
    /// Who hears of it.
    pub(crate) watch: Watch,
}

impl Sample {
    /// Serves on `listener` until `stop` is done and the calls under way have ended.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let sample = Arc::new(self);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .add_service(BackendServiceServer::from_arc(sample.clone()))
            .add_service(BatchBackendServiceServer::from_arc(sample.clone()))
            .add_service(PushReportServiceServer::from_arc(sample.clone()))
            .add_service(PresenceServiceServer::from_arc(sample))
            .serve_with_incoming_shutdown(incoming, stop)
            .await
    }

    fn receive(&self, message: &OnReceiveRequest) -> Result<Bytes, Status> {
        let answer = match (self.behaviour.failure(), &self.mode) {
            (Some(failure), _) => Err(failure),
            (None, Mode::Accept) => Ok(Bytes::new()),
            (None, Mode::Echo) => Ok(message.body.clone()),
            (None, Mode::Chat(chat)) => chat.receive(message, &self.watch).map(|()| Bytes::new()),
        };
        self.watch
            .see(Seen::Message(message, answer.as_ref().map(|_| ())));
        answer
    }
}

#[tonic::async_trait]
impl BackendService for Sample {
    async fn on_receive(
        &self,
        request: Request<OnReceiveRequest>,
    ) -> Result<Response<OnReceiveResponse>, Status> {
        self.behaviour.stall().await;
        let body = self.receive(request.get_ref())?;
        Ok(Response::new(OnReceiveResponse { body, fault: None }))
    }
}

#[tonic::async_trait]
impl BatchBackendService for Sample {
    async fn batch_on_receive(
        &self,
        request: Request<BatchOnReceiveRequest>,
    ) -> Result<Response<BatchOnReceiveResponse>, Status> {
        self.behaviour.stall().await;
        let results = (0..)
            .zip(&request.get_ref().items)
            .map(|(position, item)| BatchResult {
                position,
                key: item.key.clone(),
                outcome: Some(match self.receive(item) {
                    Ok(body) => Outcome::Accepted(OnReceiveResponse { body, fault: None }),
                    Err(status) => Outcome::Failed(failed(&status)),
                }),
            });
        Ok(Response::new(BatchOnReceiveResponse {
            results: results.collect(),
        }))
    }
}

#[tonic::async_trait]
impl PushReportService for Sample {
    async fn on_reports(
        &self,
        request: Request<OnReportsRequest>,
    ) -> Result<Response<OnReportsResponse>, Status> {
        let reports = &request.get_ref().reports;
        reports
            .iter()
            .for_each(|report| self.watch.see(Seen::Report(report)));
        Ok(Response::new(OnReportsResponse {}))
    }
}

#[tonic::async_trait]
impl PresenceService for Sample {
    async fn on_presence(
        &self,
        request: Request<OnPresenceRequest>,
    ) -> Result<Response<OnPresenceResponse>, Status> {
        let events = &request.get_ref().events;
        events
            .iter()
            .for_each(|event| self.watch.see(Seen::Presence(event)));
        Ok(Response::new(OnPresenceResponse {}))
    }
}

/// What a single call says by its status, said of an item.
fn failed(status: &Status) -> Fault {
    let blame = match status.code() {
        Code::InvalidArgument => fault::Source::Client,
        _ => fault::Source::Backend,
    };
    Fault {
        code: "sample.failed".into(),
        source: blame.into(),
        retryable: matches!(
            status.code(),
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted
        ),
        effect: fault::Effect::None.into(),
        detail: status.message().to_owned(),
        ..Fault::default()
    }
}
