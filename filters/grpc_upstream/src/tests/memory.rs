//! Scripted backends behind an in-memory network: the twin of `connector::Network`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::backend::GrpcBackend;
use linkgate_filter::testkit::Pushed;
use linkgate_filter::{Effect, Every, Fault, Identity, LinkInfo, Message, Outcome};
use linkgate_proto::v1::backend_service_server::{BackendService, BackendServiceServer};
use linkgate_proto::v1::batch_backend_service_server::{
    BatchBackendService, BatchBackendServiceServer,
};
use linkgate_proto::v1::{
    BatchOnReceiveRequest, BatchOnReceiveResponse, OnReceiveRequest, OnReceiveResponse,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::server::Router;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::call::Caller;
use linkgate_grpc::{Address, ConnectError, Connector, Directory, Io, Pool};

type Answer = Result<OnReceiveResponse, Status>;
type Script = dyn Fn(OnReceiveRequest) -> BoxFuture<'static, Answer> + Send + Sync;
type BatchScript =
    dyn Fn(BatchOnReceiveRequest) -> BoxFuture<'static, BatchOnReceiveResponse> + Send + Sync;

/// A backend that does what its script says, and remembers what it got.
#[derive(Clone)]
pub(super) struct Backend {
    script: Arc<Mutex<Arc<Script>>>,
    batch: Arc<BatchScript>,
    /// The largest batch that it reads.
    largest: usize,
    pub(super) got: Arc<Mutex<Vec<(OnReceiveRequest, MetadataMap)>>>,
}

impl Backend {
    /// Answers each message with its own body.
    pub(super) fn echo() -> Self {
        Self::new(|request| async move { Ok(answer(request.body)) })
    }

    pub(super) fn new<F, A>(script: F) -> Self
    where
        F: Fn(OnReceiveRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self {
            script: Arc::new(Mutex::new(Arc::new(move |request| {
                Box::pin(script(request))
            }))),
            batch: Arc::new(|_| Box::pin(async { BatchOnReceiveResponse::default() })),
            largest: usize::MAX,
            got: Arc::default(),
        }
    }

    /// Always this status.
    pub(super) fn failing(status: Status) -> Self {
        Self::new(move |_| {
            let status = status.clone();
            async move { Err(status) }
        })
    }

    /// Answers after `wait`.
    pub(super) fn slow(wait: Duration) -> Self {
        Self::new(move |request| async move {
            tokio::time::sleep(wait).await;
            Ok(answer(request.body))
        })
    }

    pub(super) fn with_batch<A>(
        mut self,
        batch: impl Fn(BatchOnReceiveRequest) -> A + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = BatchOnReceiveResponse> + Send + 'static,
    {
        self.batch = Arc::new(move |request| Box::pin(batch(request)));
        self
    }

    /// Refuses batches of more bytes.
    pub(super) fn reading(self, largest: usize) -> Self {
        Self { largest, ..self }
    }

    /// From now on does what the other one does.
    pub(super) fn becomes(&self, other: &Self) {
        let script = Arc::clone(&other.script.lock());
        *self.script.lock() = script;
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let got = self.got.lock();
        got.iter().map(|(request, _)| request.key.clone()).collect()
    }

    pub(super) fn routes(&self) -> Router {
        self.routes_with(None)
    }

    pub(super) fn routes_with(&self, tls: Option<ServerTlsConfig>) -> Router {
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let batches = BatchBackendServiceServer::new(self.clone());
        server
            .add_service(BackendServiceServer::new(self.clone()))
            .add_service(batches.max_decoding_message_size(self.largest))
    }
}

pub(super) fn answer(body: impl Into<bytes::Bytes>) -> OnReceiveResponse {
    OnReceiveResponse {
        body: body.into(),
        fault: None,
    }
}

#[tonic::async_trait]
impl BackendService for Backend {
    async fn on_receive(
        &self,
        request: Request<OnReceiveRequest>,
    ) -> Result<Response<OnReceiveResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.got.lock().push((request.clone(), metadata));
        let script = Arc::clone(&self.script.lock());
        script(request).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl BatchBackendService for Backend {
    async fn batch_on_receive(
        &self,
        request: Request<BatchOnReceiveRequest>,
    ) -> Result<Response<BatchOnReceiveResponse>, Status> {
        Ok(Response::new((self.batch)(request.into_inner()).await))
    }
}

/// Hosts by `host:port`, and what names stand for.
#[derive(Default)]
pub(super) struct Memory {
    hosts: Arc<Mutex<HashMap<String, Host>>>,
    names: Mutex<HashMap<String, Vec<SocketAddr>>>,
    silent: Mutex<Vec<String>>,
    pub(super) asked: Mutex<u32>,
    /// How long an answer takes, and how long a connection.
    pub(super) names_take: Mutex<Duration>,
    pub(super) connecting_takes: Mutex<Duration>,
}

struct Host {
    accept: mpsc::Sender<DuplexStream>,
    wires: Vec<AbortHandle>,
}

impl Memory {
    pub(super) fn serve(&self, at: &str, backend: &Backend) {
        let (accept, incoming) = mpsc::channel(16);
        let incoming = ReceiverStream::new(incoming).map(Ok::<_, io::Error>);
        tokio::spawn(backend.routes().serve_with_incoming(incoming));
        let wires = Vec::new();
        let host = Host { accept, wires };
        self.hosts.lock().insert(at.to_owned(), host);
    }

    /// Each connection goes to `server`.
    pub(super) fn serve_raw<F>(&self, at: &str, server: impl Fn(DuplexStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (accept, mut incoming) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Some(wire) = incoming.recv().await {
                tokio::spawn(server(wire));
            }
        });
        let wires = Vec::new();
        let host = Host { accept, wires };
        self.hosts.lock().insert(at.to_owned(), host);
    }

    /// The first connection goes to `server`, the others to the backend.
    pub(super) fn serve_raw_at_first<F>(
        &self,
        at: &str,
        backend: &Backend,
        server: impl FnOnce(DuplexStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (accept, mut incoming) = mpsc::channel(16);
        let (pass, passed) = mpsc::channel(16);
        let passed = ReceiverStream::new(passed).map(Ok::<_, io::Error>);
        tokio::spawn(backend.routes().serve_with_incoming(passed));
        tokio::spawn(async move {
            if let Some(wire) = incoming.recv().await {
                tokio::spawn(server(wire));
            }
            while let Some(wire) = incoming.recv().await {
                let _ = pass.send(wire).await;
            }
        });
        let wires = Vec::new();
        let host = Host { accept, wires };
        self.hosts.lock().insert(at.to_owned(), host);
    }

    /// Takes connections and never says a word.
    pub(super) fn serve_nothing(&self, at: &str) {
        let (accept, mut incoming) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(wire) = incoming.recv().await {
                held.push(wire);
            }
            std::future::pending::<()>().await;
        });
        let wires = Vec::new();
        let host = Host { accept, wires };
        self.hosts.lock().insert(at.to_owned(), host);
    }

    /// Cuts all connections; new ones may be opened.
    pub(super) fn cut(&self, at: &str) {
        if let Some(host) = self.hosts.lock().get_mut(at) {
            host.wires.drain(..).for_each(|wire| wire.abort());
        }
    }

    /// Cuts all connections and takes no more.
    pub(super) fn stop(&self, at: &str) {
        self.cut(at);
        self.hosts.lock().remove(at);
    }

    /// What a name stands for from now on; nothing: it is not known.
    pub(super) fn name(&self, host: &str, addresses: &[&str]) {
        if addresses.is_empty() {
            self.names.lock().remove(host);
            return;
        }
        let addresses = addresses.iter().map(|at| at.parse().unwrap()).collect();
        self.names.lock().insert(host.to_owned(), addresses);
    }

    /// Whoever asks for this name waits for ever.
    pub(super) fn never_answers(&self, host: &str) {
        self.silent.lock().push(host.to_owned());
    }

    /// Connections opened so far and not cut.
    pub(super) fn connections(&self, at: &str) -> usize {
        self.hosts.lock().get(at).map_or(0, |host| host.wires.len())
    }
}

impl Connector for Memory {
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let (hosts, uri) = (Arc::clone(&self.hosts), address.uri.clone());
        let takes = *self.connecting_takes.lock();
        let within = *address.settings.connect_timeout;
        let dialled = async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let at = uri.authority().unwrap().as_str();
            let mut hosts = hosts.lock();
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let host = hosts.get_mut(at).ok_or_else(refused)?;
            let (own, mut near) = duplex(64 << 10);
            let (mut far, theirs) = duplex(64 << 10);
            let wire = tokio::spawn(async move {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
            host.wires.push(wire.abort_handle());
            host.accept.try_send(theirs).map_err(|_| refused())?;
            Ok(Box::new(own) as _)
        };
        Box::pin(async move {
            let dialled = tokio::time::timeout(within, dialled).await;
            dialled.map_err(|_| ConnectError::Late)?
        })
    }

    fn resolve(&self, host: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        *self.asked.lock() += 1;
        let found = self.names.lock().get(host).cloned();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let takes = *self.names_take.lock();
        if self.silent.lock().iter().any(|silent| silent == host) {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            found.ok_or_else(missing)
        })
    }
}

/// A caller over `memory`; `config` is what the entry says beside its backend.
pub(super) fn caller(
    memory: &Arc<Memory>,
    endpoints: &[&str],
    config: serde_json::Value,
) -> Arc<Caller> {
    caller_of(pool(memory, endpoints, &Arc::default()), config)
}

pub(super) fn caller_of(pool: Arc<Pool>, mut config: serde_json::Value) -> Arc<Caller> {
    config["backend"] = json!("chat");
    Arc::new(Caller {
        config: serde_json::from_value(config).unwrap(),
        biz_id: "chat".into(),
        pool,
        budget: Arc::default(),
        events: crate::call::Events::default(),
        log: Every::new(Caller::LOG_INTERVAL),
    })
}

/// The endpoints of a backend, as one generation of a pipeline has them.
pub(super) fn pool(
    memory: &Arc<Memory>,
    endpoints: &[&str],
    directory: &Arc<Directory>,
) -> Arc<Pool> {
    let backend = json!({ "endpoints": endpoints });
    pool_over(Arc::clone(memory) as _, &backend, directory)
}

pub(super) fn pool_over(
    connector: Arc<dyn Connector>,
    backend: &serde_json::Value,
    directory: &Arc<Directory>,
) -> Arc<Pool> {
    let backend: GrpcBackend = serde_json::from_value(backend.clone()).unwrap();
    let mut problems = linkgate_filter::problem::Problems::new();
    backend.check(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    Arc::new(Pool::new(&backend, connector, Arc::clone(directory)))
}

/// Delivers one message of `alice`; what became of it.
pub(super) async fn deliver(caller: &Arc<Caller>, key: &str) -> Outcome {
    deliver_of(caller, "alice", key).await
}

/// Delivers one message of this user; what became of it.
pub(super) async fn deliver_of(caller: &Arc<Caller>, user: &str, key: &str) -> Outcome {
    let (outcome, receipt) = Pushed::new();
    let m = message_of(user, key, "hello").with_receipt(receipt);
    caller.deliver(m, 1).await;
    outcome.outcome().unwrap()
}

/// Delivers one message of `alice`; the fault, with the outcome that fits its effect.
pub(super) async fn fault(caller: &Arc<Caller>) -> Fault {
    fault_of(caller, "alice").await
}

/// Delivers one message of this user; the fault, with the outcome that fits its effect.
pub(super) async fn fault_of(caller: &Arc<Caller>, user: &str) -> Fault {
    match deliver_of(caller, user, "k").await {
        Outcome::Accepted(answer) => panic!("accepted: {answer:?}"),
        Outcome::Failed(fault) => {
            assert_eq!(fault.effect, Effect::None);
            fault
        }
        Outcome::Unknown(fault) => {
            assert_eq!(fault.effect, Effect::Unknown);
            fault
        }
    }
}

/// A business message of `alice`.
pub(super) fn message(key: &str, body: &'static str) -> Message {
    message_of("alice", key, body)
}

fn message_of(user: &str, key: &str, body: &'static str) -> Message {
    let identity = Identity::new("chat", user).at_device("phone 1");
    let link = Arc::new(LinkInfo::new(7, identity));
    let command = linkgate_filter::Command::UpstreamMessage;
    Message::new(link, command, key, body)
}
