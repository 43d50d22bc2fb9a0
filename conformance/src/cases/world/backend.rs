//! Backends of a case: what calls them is written down, and answered as the steps say.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Uri;
use linkgate_filter::backend::Backends;
use linkgate_filter::broker::Record;
use linkgate_grpc::{Address, ConnectError, Connector, Io};
use linkgate_proto::v1;
use linkgate_proto::v1::backend_service_server::{BackendService, BackendServiceServer};
use linkgate_proto::v1::batch_backend_service_server::{
    BatchBackendService, BatchBackendServiceServer,
};
use linkgate_proto::v1::batch_result::Outcome;
use linkgate_proto::v1::presence_service_server::{PresenceService, PresenceServiceServer};
use linkgate_proto::v1::push_report_service_server::{PushReportService, PushReportServiceServer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Code, Request, Response, Status};

use super::log::Log;
use crate::cases::language::docs::{self, Effect};
use crate::cases::language::{Place, With, bytes};
use crate::cases::seen::bytes_value;

/// What a connection holds of what its other end has not read, in bytes.
const BUFFER: usize = 64 * 1024;

/// The backends of a case, by their addresses. Clones are the same ones.
#[derive(Clone)]
pub struct ScriptedBackends(Arc<Mutex<Inner>>);

struct Inner {
    log: Log,
    /// The names of backends by authority, as the configuration writes their endpoints.
    names: BTreeMap<String, String>,
    /// The authorities that host names were resolved to.
    resolved: BTreeMap<IpAddr, String>,
    servers: BTreeMap<String, mpsc::Sender<DuplexStream>>,
    /// The connections of each backend.
    wires: Vec<(String, AbortHandle)>,
    away: Vec<String>,
}

impl ScriptedBackends {
    /// Backends that tell `log` what comes to them.
    pub fn new(log: &Log) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            log: log.clone(),
            names: BTreeMap::new(),
            resolved: BTreeMap::new(),
            servers: BTreeMap::new(),
            wires: Vec::new(),
            away: Vec::new(),
        })))
    }

    /// From now on what comes to them is told to `log`.
    pub fn tells(&self, log: &Log) {
        self.0.lock().log = log.clone();
    }

    /// Serves a backend at an address of the system, for a gateway that runs elsewhere.
    pub async fn listen(&self, name: &str, listener: TcpListener) {
        let backend = Backend {
            name: name.to_owned(),
            backends: self.clone(),
        };
        let incoming = TcpListenerStream::new(listener);
        if let Err(error) = backend.server().serve_with_incoming(incoming).await {
            tracing::error!(%error, backend = name, "the scripted backend does not serve any more");
        }
    }

    /// Learns where the backends of a configuration are.
    pub fn learn(&self, backends: &Backends) {
        let mut inner = self.0.lock();
        for (name, backend) in backends {
            for endpoint in &backend.grpc.endpoints {
                inner.names.insert(authority(endpoint), name.clone());
            }
        }
    }

    /// Whether the backend answers at its addresses. One that goes away loses its connections.
    pub fn set(&self, name: &str, is_there: bool) {
        let mut inner = self.0.lock();
        inner.away.retain(|away| away != name);
        if !is_there {
            inner.away.push(name.to_owned());
            let gone = inner.wires.extract_if(.., |(of, _)| of == name);
            gone.for_each(|(_, wire)| wire.abort());
        }
    }

    fn dial(&self, uri: &Uri) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut inner = self.0.lock();
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let by_address = || {
            let host = uri.host()?.trim_matches(['[', ']']).parse().ok()?;
            inner.names.get(inner.resolved.get(&host)?)
        };
        let name = inner.names.get(&authority).or_else(by_address).cloned();
        let name = name.ok_or_else(refused)?;
        if inner.away.contains(&name) {
            return Err(refused());
        }
        let backend = Backend {
            name: name.clone(),
            backends: self.clone(),
        };
        let server = inner.servers.entry(name.clone());
        let server = server.or_insert_with(|| serve(&backend));
        let (near, mut this_end) = duplex(BUFFER);
        let (mut that_end, far) = duplex(BUFFER);
        server.try_send(far).map_err(|_| refused())?;
        let wire = tokio::spawn(async move {
            // Either side may break it.
            let _ = copy_bidirectional(&mut this_end, &mut that_end).await;
        });
        inner.wires.push((name, wire.abort_handle()));
        Ok(near)
    }
}

/// An endpoint without its scheme.
fn authority(endpoint: &str) -> String {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    rest.trim_matches('/').to_owned()
}

impl Connector for ScriptedBackends {
    /// What ends TLS is taken to stand before the backend.
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        let (backends, uri) = (self.clone(), address.uri.clone());
        Box::pin(async move { Ok(Box::new(backends.dial(&uri)?) as _) })
    }

    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut inner = self.0.lock();
        let name = format!("{host}:{port}");
        let known = inner.resolved.iter().find(|(_, known)| **known == name);
        let address = known.map(|(address, _)| *address).unwrap_or_else(|| {
            // Addresses that are kept for examples, one for each name.
            let number = u8::try_from(inner.resolved.len() % 250 + 1).unwrap_or(1);
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
        });
        inner.resolved.insert(address, name);
        Box::pin(async move { Ok(vec![SocketAddr::new(address, port)]) })
    }
}

/// Serves a backend.
fn serve(backend: &Backend) -> mpsc::Sender<DuplexStream> {
    let (sender, connections) = mpsc::channel(64);
    let server = backend
        .server()
        .serve_with_incoming(ReceiverStream::new(connections).map(Ok::<_, io::Error>));
    tokio::spawn(server);
    sender
}

/// A backend that asks the case what to answer.
#[derive(Clone)]
struct Backend {
    name: String,
    backends: ScriptedBackends,
}

impl Backend {
    fn server(&self) -> Router {
        Server::builder()
            .add_service(BackendServiceServer::new(self.clone()))
            .add_service(BatchBackendServiceServer::new(self.clone()))
            .add_service(PushReportServiceServer::new(self.clone()))
            .add_service(PresenceServiceServer::new(self.clone()))
    }

    async fn ask(&self, at: fn(String) -> Place, what: Value) -> Result<Vec<docs::Answer>, Status> {
        let log = self.backends.0.lock().log.clone();
        match log.ask(at(self.name.clone()), what).await {
            Ok(With::Yes) => Ok(Vec::new()),
            Ok(With::Said(answers)) => Ok(answers),
            Ok(With::Fails(fails)) => Err(status(&fails.form())),
            Ok(With::Never) | Err(_) => std::future::pending().await,
        }
    }
}

fn status(fails: &docs::FailsForm) -> Status {
    let code = code(&fails.with).unwrap_or(Code::Unknown);
    let mut status = Status::new(code, fails.message.clone());
    if let Some(wait) = fails.pushback
        && let Ok(wait) = wait.as_millis().to_string().parse()
    {
        status.metadata_mut().insert("grpc-retry-pushback-ms", wait);
    }
    status
}

/// The gRPC status of this name, as it is written in capitals.
fn code(name: &str) -> Option<Code> {
    (1..=16)
        .map(Code::from)
        .find(|code| code_name(*code) == name)
}

/// The name of a gRPC status: `NOT_FOUND`.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn call_value(request: &v1::OnReceiveRequest) -> Value {
    json!({
        "key": request.key,
        "body": bytes_value(&request.body),
        "biz_id": request.biz_id,
        "user_id": request.user_id,
        "device_id": request.device_id,
        "attempt": request.attempt,
    })
}

fn answer_body(answer: &docs::Answer) -> bytes::Bytes {
    bytes(&answer.body).unwrap_or_default().into()
}

#[tonic::async_trait]
impl BackendService for Backend {
    async fn on_receive(
        &self,
        request: Request<v1::OnReceiveRequest>,
    ) -> Result<Response<v1::OnReceiveResponse>, Status> {
        let answers = self.ask(Place::Call, call_value(request.get_ref())).await?;
        let answer = answers.first().cloned().unwrap_or_default();
        Ok(Response::new(v1::OnReceiveResponse {
            body: answer_body(&answer),
            fault: answer.fails.as_ref().map(fault),
        }))
    }
}

#[tonic::async_trait]
impl BatchBackendService for Backend {
    async fn batch_on_receive(
        &self,
        request: Request<v1::BatchOnReceiveRequest>,
    ) -> Result<Response<v1::BatchOnReceiveResponse>, Status> {
        let items = request.into_inner().items;
        let values: Vec<_> = items.iter().map(call_value).collect();
        let answers = self.ask(Place::Batch, json!({ "items": values })).await?;
        let results = items.iter().enumerate().filter_map(|(position, item)| {
            let answer = answers.get(position).cloned().unwrap_or_default();
            (!answer.missing).then(|| v1::BatchResult {
                position: u32::try_from(position).unwrap_or(u32::MAX),
                key: item.key.clone(),
                outcome: Some(outcome(&answer)),
            })
        });
        Ok(Response::new(v1::BatchOnReceiveResponse {
            results: results.collect(),
        }))
    }
}

fn outcome(answer: &docs::Answer) -> Outcome {
    match &answer.fails {
        None => Outcome::Accepted(v1::OnReceiveResponse {
            body: answer_body(answer),
            fault: None,
        }),
        Some(refused) => Outcome::Failed(fault(refused)),
    }
}

fn fault(refused: &docs::ItemFault) -> v1::Fault {
    v1::Fault {
        code: refused.code.clone(),
        source: v1::fault::Source::Backend.into(),
        retryable: refused.retryable,
        retry_after_ms: refused.retry_after.map_or(0, |wait| {
            u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
        }),
        effect: match refused.effect {
            Effect::None => v1::fault::Effect::None,
            Effect::Unknown => v1::fault::Effect::Unknown,
        }
        .into(),
        detail: refused.detail.clone(),
    }
}

#[tonic::async_trait]
impl PushReportService for Backend {
    async fn on_reports(
        &self,
        request: Request<v1::OnReportsRequest>,
    ) -> Result<Response<v1::OnReportsResponse>, Status> {
        let what = serde_json::to_value(request.into_inner()).unwrap_or_default();
        self.ask(Place::Reports, snake(what)).await?;
        Ok(Response::new(v1::OnReportsResponse {}))
    }
}

#[tonic::async_trait]
impl PresenceService for Backend {
    async fn on_presence(
        &self,
        request: Request<v1::OnPresenceRequest>,
    ) -> Result<Response<v1::OnPresenceResponse>, Status> {
        let what = serde_json::to_value(request.into_inner()).unwrap_or_default();
        self.ask(Place::Presence, snake(what)).await?;
        Ok(Response::new(v1::OnPresenceResponse {}))
    }
}

/// The JSON mapping with the names of the `.proto` files.
fn snake(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let mut snaked = String::new();
                for c in name.chars() {
                    if c.is_ascii_uppercase() {
                        snaked.push('_');
                    }
                    snaked.push(c.to_ascii_lowercase());
                }
                (snaked, snake(value))
            };
            fields.into_iter().map(field).collect()
        }
        Value::Array(items) => items.into_iter().map(snake).collect(),
        other => other,
    }
}

/// A record as a case writes it.
pub fn record(record: &docs::Record) -> Result<Record, String> {
    Ok(Record {
        topic: record.topic.clone(),
        key: record.key.clone().into(),
        payload: bytes(&record.body)?.into(),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect(),
    })
}
