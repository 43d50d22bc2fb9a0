//! Letters to a service behind an in-memory network, in virtual time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_filter::backend::GrpcBackend;
use linkgate_grpc::{Address, ConnectError, Connector, Directory, Io, Pool};
use linkgate_proto::v1::push_report_service_server::{PushReportService, PushReportServiceServer};
use linkgate_proto::v1::{OnReportsRequest, OnReportsResponse, PushReport};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::io::duplex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Writer;
use super::calls::Calls;
use super::outlet::Outlet;
use crate::clock::SystemClock;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A call at the service, to be answered.
struct Call {
    ids: Vec<String>,
    answer: oneshot::Sender<Result<(), Status>>,
}

struct Service(mpsc::Sender<Call>);

#[tonic::async_trait]
impl PushReportService for Service {
    async fn on_reports(
        &self,
        request: Request<OnReportsRequest>,
    ) -> Result<Response<OnReportsResponse>, Status> {
        let ids = request.into_inner().reports.into_iter();
        let (answer, answered) = oneshot::channel();
        let ids = ids.map(|report| report.id).collect();
        self.0.send(Call { ids, answer }).await.unwrap();
        let answer = answered.await.unwrap_or_else(|_| Err(Status::internal("")));
        answer.map(|()| Response::new(OnReportsResponse {}))
    }
}

struct InMemory(mpsc::Sender<Call>);

impl Connector for InMemory {
    fn connect(&self, _: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let service = PushReportServiceServer::new(Service(self.0.clone()));
        Box::pin(async move {
            let (near, far) = duplex(64 * 1024);
            let incoming = tokio_stream::once(Ok::<_, io::Error>(far));
            let server = Server::builder().add_service(service);
            tokio::spawn(server.serve_with_incoming(incoming));
            Ok(Box::new(near) as _)
        })
    }

    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A service, and a way to tell it things.
struct World {
    outlet: Outlet<PushReport>,
    writer: Writer,
    calls: mpsc::Receiver<Call>,
    told: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let (calling, calls) = mpsc::channel(16);
        let backend = GrpcBackend::at("backend:1");
        let connector = Arc::new(InMemory(calling));
        let pool = Pool::new(&backend, connector, Arc::new(Directory::default()));
        Self {
            outlet: Outlet::service("backend", Calls::new(pool, TIMEOUT, 3)),
            writer: Writer::new(
                Arc::new(SystemClock),
                Counter::default(),
                Counter::default(),
            ),
            calls,
            told: Arc::default(),
        }
    }

    /// Tells these, and notes each that is confirmed.
    fn tell(&self, ids: &[&str]) -> Vec<JoinHandle<()>> {
        let tell = |id: &&str| {
            let letter = self.outlet.letter(PushReport {
                id: (*id).to_owned(),
                ..PushReport::default()
            });
            let writing = self.writer.clone().write(vec![letter]);
            let (id, told) = ((*id).to_owned(), Arc::clone(&self.told));
            tokio::spawn(async move {
                writing.await;
                told.lock().push(id);
            })
        };
        ids.iter().map(tell).collect()
    }

    async fn call(&mut self) -> Call {
        let call = timeout(Duration::from_secs(60), self.calls.recv()).await;
        call.expect("a call comes").unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_a_call_goes_with_the_next_ones() {
    let mut world = World::new();
    world.tell(&["a"]);
    let first = world.call().await;
    assert_eq!(first.ids, ["a"]);
    world.tell(&["b", "c", "d", "e"]);
    tokio::task::yield_now().await;
    assert!(world.calls.recv().now_or_never().is_none(), "one at a time");
    first.answer.send(Ok(())).unwrap();
    let second = world.call().await;
    assert_eq!(second.ids, ["b", "c", "d"], "three at the most");
    assert_eq!(*world.told.lock(), ["a"], "not confirmed yet");
    second.answer.send(Ok(())).unwrap();
    assert_eq!(world.call().await.ids, ["e"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_or_is_silent_is_asked_again() {
    let mut world = World::new();
    let begun = Instant::now();
    let writing = world.tell(&["a"]);
    world
        .call()
        .await
        .answer
        .send(Err(Status::unavailable("down")))
        .unwrap();
    let silent = world.call().await;
    let third = world.call().await;
    assert!(begun.elapsed() >= TIMEOUT, "the silent one had its time");
    drop(silent);
    third.answer.send(Ok(())).unwrap();
    for writing in writing {
        writing.await.unwrap();
    }
    assert_eq!(*world.told.lock(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_never_taken_does_not_hold_up_others() {
    let mut world = World::new();
    world.tell(&["poison", "a", "b"]);
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let Ok(Some(call)) = timeout(Duration::from_secs(10), world.calls.recv()).await else {
            break;
        };
        let answer = if call.ids.iter().any(|id| id == "poison") {
            Err(Status::invalid_argument("what is this?"))
        } else {
            Ok(())
        };
        let _ = call.answer.send(answer);
    }
    let mut told = world.told.lock().clone();
    told.sort_unstable();
    assert_eq!(told, ["a", "b"]);
}
