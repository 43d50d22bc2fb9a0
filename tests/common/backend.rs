//! A business backend that does as it is told, and remembers what it was given.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use linkgate_proto::v1::backend_service_server::{BackendService, BackendServiceServer};
use linkgate_proto::v1::batch_backend_service_server::{
    BatchBackendService, BatchBackendServiceServer,
};
use linkgate_proto::v1::batch_result::Outcome as Said;
use linkgate_proto::v1::fault::Effect;
use linkgate_proto::v1::presence_service_server::{PresenceService, PresenceServiceServer};
use linkgate_proto::v1::push_report_service_server::{PushReportService, PushReportServiceServer};
use linkgate_proto::v1::{
    BatchOnReceiveRequest, BatchOnReceiveResponse, BatchResult, Fault, OnPresenceRequest,
    OnPresenceResponse, OnReceiveRequest, OnReceiveResponse, OnReportsRequest, OnReportsResponse,
    PresenceEvent, PushReport,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use super::wait::until;

/// What the backend does with a call.
#[derive(Clone)]
pub(crate) enum Reply {
    /// OK, with this body.
    Answer(Bytes),
    /// A status, and what it says.
    Fail(Code, &'static str),
    /// OK with an empty body, after so long.
    Late(Duration),
    /// Nothing.
    Hang,
    /// In a batch: no result for the item.
    Forget,
}

type Script = Box<dyn Fn(&OnReceiveRequest) -> Reply + Send + Sync>;

/// What all calls share.
struct Desk {
    script: Mutex<Script>,
    calls: Mutex<Vec<OnReceiveRequest>>,
    /// The keys of each batch so far.
    batches: Mutex<Vec<Vec<String>>>,
    reports: Mutex<Vec<PushReport>>,
    presence: Mutex<Vec<PresenceEvent>>,
    /// Calls are answered while this is true.
    open: watch::Sender<bool>,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    of_link: HashMap<String, usize>,
    most_of_a_link: usize,
}

/// A gRPC backend on loopback. It has threads of its own, as a process would, and ends as suddenly as one when it is
/// killed.
pub(crate) struct Backend {
    address: SocketAddr,
    desk: Arc<Desk>,
    runtime: Option<Runtime>,
}

impl Backend {
    /// One that answers with what it was given.
    pub(crate) async fn start() -> Self {
        let desk = Arc::new(Desk {
            script: Mutex::new(Box::new(|message| Reply::Answer(message.body.clone()))),
            calls: Mutex::default(),
            batches: Mutex::default(),
            reports: Mutex::default(),
            presence: Mutex::default(),
            open: watch::Sender::new(true),
            in_flight: Mutex::default(),
        });
        let mut backend = Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            desk,
            runtime: None,
        };
        backend.revive().await;
        backend
    }

    /// Where it listens, dead or alive.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does so from now on.
    pub(crate) fn does(&self, script: impl Fn(&OnReceiveRequest) -> Reply + Send + Sync + 'static) {
        *self.desk.script.lock().unwrap() = Box::new(script);
    }

    /// Takes calls, but answers none until it is let go.
    pub(crate) fn hold(&self) {
        self.desk.open.send_replace(false);
    }

    /// Answers what it held.
    pub(crate) fn let_go(&self) {
        self.desk.open.send_replace(true);
    }

    /// Drops everything.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens at the same address again.
    pub(crate) async fn revive(&mut self) {
        self.kill();
        let mut listener = None;
        until("the backend's address is free", async || {
            listener = TcpListener::bind(self.address).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap().into_std().unwrap();
        self.address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let one = BackendServiceServer::from_arc(Arc::clone(&self.desk));
        let many = BatchBackendServiceServer::from_arc(Arc::clone(&self.desk));
        let reports = PushReportServiceServer::from_arc(Arc::clone(&self.desk));
        let presence = PresenceServiceServer::from_arc(Arc::clone(&self.desk));
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            let mut server = tonic::transport::Server::builder();
            let server = server.add_service(one).add_service(many);
            let server = server.add_service(reports).add_service(presence);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// The keys of each batch so far, in the order the batches came.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        self.desk.batches.lock().unwrap().clone()
    }

    /// All reports of pushes so far, in the order they came.
    pub(crate) fn reports(&self) -> Vec<PushReport> {
        self.desk.reports.lock().unwrap().clone()
    }

    /// All that it was told of users who came and went, in the order it was told.
    pub(crate) fn presence(&self) -> Vec<PresenceEvent> {
        self.desk.presence.lock().unwrap().clone()
    }

    /// All messages so far, in the order they came, those of batches too.
    pub(crate) fn calls(&self) -> Vec<OnReceiveRequest> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// The calls for one key.
    pub(crate) fn calls_of(&self, key: &str) -> Vec<OnReceiveRequest> {
        let mut calls = self.calls();
        calls.retain(|call| call.key == key);
        calls
    }

    /// Waits for so many calls in all.
    pub(crate) async fn has(&self, calls: usize) {
        let what = format!("the backend has {calls} calls");
        until(&what, async || {
            self.desk.calls.lock().unwrap().len() >= calls
        })
        .await;
    }

    /// The most calls of one link that it had at a time.
    pub(crate) fn most_of_a_link(&self) -> usize {
        self.desk.in_flight.lock().unwrap().most_of_a_link
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Counts a call while it runs.
struct Running<'a>(&'a Desk, String);

impl<'a> Running<'a> {
    fn new(desk: &'a Desk, link: &str) -> Self {
        let mut in_flight = desk.in_flight.lock().unwrap();
        let count = in_flight.of_link.entry(link.to_owned()).or_default();
        *count += 1;
        let count = *count;
        in_flight.most_of_a_link = in_flight.most_of_a_link.max(count);
        Self(desk, link.to_owned())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0.in_flight.lock().unwrap().of_link.get_mut(&self.1) {
            *count -= 1;
        }
    }
}

#[tonic::async_trait]
impl BackendService for Desk {
    async fn on_receive(
        &self,
        request: Request<OnReceiveRequest>,
    ) -> Result<Response<OnReceiveResponse>, Status> {
        let message = request.into_inner();
        let _running = Running::new(self, &message.link_id);
        let reply = (self.script.lock().unwrap())(&message);
        self.calls.lock().unwrap().push(message);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let body = match reply {
            Reply::Answer(body) => body,
            Reply::Fail(code, text) => return Err(Status::new(code, text)),
            Reply::Late(wait) => {
                sleep(wait).await;
                Bytes::new()
            }
            Reply::Hang | Reply::Forget => std::future::pending().await,
        };
        Ok(Response::new(OnReceiveResponse { body, fault: None }))
    }
}

/// A batch takes as long as its slowest item; an item that fails does so alone, with its code and what it says.
#[tonic::async_trait]
impl BatchBackendService for Desk {
    async fn batch_on_receive(
        &self,
        request: Request<BatchOnReceiveRequest>,
    ) -> Result<Response<BatchOnReceiveResponse>, Status> {
        let items = request.into_inner().items;
        let links: BTreeSet<_> = items.iter().map(|item| item.link_id.clone()).collect();
        let _running: Vec<_> = links.iter().map(|link| Running::new(self, link)).collect();
        let keys = items.iter().map(|item| item.key.clone()).collect();
        self.batches.lock().unwrap().push(keys);
        let replies: Vec<Reply> = {
            let script = self.script.lock().unwrap();
            items.iter().map(&**script).collect()
        };
        self.calls.lock().unwrap().extend(items.iter().cloned());
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let mut results = Vec::new();
        for ((position, item), reply) in (0..).zip(items).zip(replies) {
            let outcome = match reply {
                Reply::Answer(body) => Said::Accepted(OnReceiveResponse { body, fault: None }),
                Reply::Fail(_, code) => Said::Failed(Fault {
                    code: code.into(),
                    effect: Effect::None.into(),
                    ..Fault::default()
                }),
                Reply::Late(wait) => {
                    sleep(wait).await;
                    Said::Accepted(OnReceiveResponse::default())
                }
                Reply::Hang => std::future::pending().await,
                Reply::Forget => continue,
            };
            results.push(BatchResult {
                position,
                key: item.key,
                outcome: Some(outcome),
            });
        }
        Ok(Response::new(BatchOnReceiveResponse { results }))
    }
}

#[tonic::async_trait]
impl PushReportService for Desk {
    async fn on_reports(
        &self,
        request: Request<OnReportsRequest>,
    ) -> Result<Response<OnReportsResponse>, Status> {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let reports = request.into_inner().reports;
        self.reports.lock().unwrap().extend(reports);
        Ok(Response::new(OnReportsResponse {}))
    }
}

#[tonic::async_trait]
impl PresenceService for Desk {
    async fn on_presence(
        &self,
        request: Request<OnPresenceRequest>,
    ) -> Result<Response<OnPresenceResponse>, Status> {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let events = request.into_inner().events;
        self.presence.lock().unwrap().extend(events);
        Ok(Response::new(OnPresenceResponse {}))
    }
}
