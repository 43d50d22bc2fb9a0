//! Pushes by each kind of source.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use linkgate_core::network::MemoryNetwork;
use linkgate_core::node::Node;
use linkgate_core::push::PushSource;
use linkgate_filter::broker::Record;
use linkgate_proto::v1;
use linkgate_proto::v1::push_service_client::PushServiceClient;
use serde_json::{Map, Value, json};
use tonic::transport::{Channel, Endpoint};

use super::{Driver, tokens};
use crate::cases::language::docs::{self, Source};
use crate::cases::language::{Place, bytes};
use crate::cases::seen::fault_value;
use crate::cases::world::backend::code_name;
use crate::cases::world::log::Log;

/// How long a caller waits for the outcome of a push, unless it says so.
const WAIT: std::time::Duration = std::time::Duration::from_secs(3600);

impl Driver<'_> {
    pub(super) fn push(&mut self, push: &docs::Push) -> Result<(), String> {
        for n in 1..=push.times.unwrap_or(1) {
            let mut request = self.request(push)?;
            request.key = push.key.replace("<n>", &n.to_string());
            self.push_one(push, request)?;
        }
        Ok(())
    }

    fn push_one(&mut self, push: &docs::Push, request: v1::PushRequest) -> Result<(), String> {
        let sources = &self.facts.push.sources;
        let find = |kind: Source| sources.iter().find(|source| is_kind(source, kind));
        let source = match push.by {
            Some(kind) => find(kind),
            None => [Source::Grpc, Source::Kafka, Source::Http]
                .into_iter()
                .find_map(find),
        };
        let source = source.ok_or("the configuration has no such source under `push.sources`")?;
        if let Some(grpc) = &source.grpc {
            let callers = grpc.auth.iter();
            let callers = callers.map(|caller| (&caller.token, caller.biz_ids.as_slice()));
            let token = tokens::push_token(callers, &request.biz_id);
            let calls = sources.iter().filter(|source| source.grpc.is_some());
            let place = calls
                .take_while(|other| !std::ptr::eq(*other, source))
                .count();
            let addresses = self.node.as_ref().map(Node::push_sources);
            let address = addresses.unwrap_or_default().get(place).copied();
            return self.call(push, request, (address, push.token.clone().or(token)));
        }
        if let Some(http) = &source.http {
            let callers = http.auth.iter();
            let callers = callers.map(|caller| (&caller.token, caller.biz_ids.as_slice()));
            let token = tokens::push_token(callers, &request.biz_id);
            let address = self.node.as_ref().and_then(Node::admin_address);
            return self.post(push, &request, (address, push.token.clone().or(token)));
        }
        if let Some(kafka) = &source.kafka {
            let record = Record {
                topic: kafka.topic.clone(),
                key: request.key.clone().into(),
                payload: as_json(&request).to_string().into(),
                headers: Vec::new(),
            };
            self.world.edges.write(&kafka.broker, record);
        }
        Ok(())
    }

    fn request(&self, push: &docs::Push) -> Result<v1::PushRequest, String> {
        let expires_at = push.expires_in.map(|time| {
            let at = self.world.clock.wall() + *time;
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
        });
        Ok(v1::PushRequest {
            key: push.key.clone(),
            biz_id: self.biz_id(push.biz_id.as_deref())?.to_owned(),
            receiver_ids: push.to.clone().all(),
            body: bytes(&push.body)?.into(),
            device_id: push.device_id.clone(),
            expires_at,
            ack: push.ack,
            all: push.all,
        })
    }

    fn call(
        &mut self,
        push: &docs::Push,
        request: v1::PushRequest,
        (address, token): (Option<SocketAddr>, Option<String>),
    ) -> Result<(), String> {
        let address = address.ok_or("the node does not run any more")?;
        let (channel, log) = (self.channel(address), self.world.log.clone());
        let (key, wait) = (request.key.clone(), push.wait.map_or(WAIT, Into::into));
        let mut request = tonic::Request::new(request);
        request.set_timeout(wait);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse();
            let value = value.map_err(|_| "the token cannot stand in a request")?;
            request.metadata_mut().insert("authorization", value);
        }
        tokio::spawn(async move {
            let answer = PushServiceClient::new(channel).push(request).await;
            match answer {
                Ok(response) => ended(&log, &key, response.get_ref()),
                Err(status) => {
                    let what =
                        json!({ "code": code_name(status.code()), "detail": status.message() });
                    log.see(Place::Ended(key), json!({ "fault": what }));
                }
            }
        });
        Ok(())
    }

    /// The way of all calls to a source: one connection, so that they stay in order.
    fn channel(&mut self, address: SocketAddr) -> Channel {
        let network = self.world.memory.clone();
        let open = || {
            let dial = tower::service_fn(move |_| {
                let dialled = network.dial(address, caller()).map(TokioIo::new);
                async move { dialled }
            });
            Endpoint::from_static("http://gateway").connect_with_connector_lazy(dial)
        };
        self.world
            .callers
            .entry(address)
            .or_insert_with(open)
            .clone()
    }

    fn post(
        &self,
        push: &docs::Push,
        request: &v1::PushRequest,
        (address, token): (Option<SocketAddr>, Option<String>),
    ) -> Result<(), String> {
        let address = address.ok_or("pushes by HTTP need `admin: { address: ... }`")?;
        let wait = linkgate_filter::units::HumanDuration::from(push.wait.map_or(WAIT, Into::into));
        let http = http::Request::post(format!("/v1/push?wait={wait}"))
            .header("host", "gateway")
            .header(
                "authorization",
                format!("Bearer {}", token.unwrap_or_default()),
            )
            .body(Full::new(Bytes::from(as_json(request).to_string())));
        let http = http.map_err(|_| "the token cannot stand in a request")?;
        let (network, log, key) = (
            self.world.memory.clone(),
            self.world.log.clone(),
            request.key.clone(),
        );
        tokio::spawn(async move {
            match posted(&network, address, http).await {
                Ok(response) if response.fault.is_none() => ended(&log, &key, &response),
                Ok(response) => {
                    let fault = fault_value(&response.fault.unwrap_or_default());
                    log.see(Place::Ended(key), json!({ "fault": fault }));
                }
                Err(what) => log.see(Place::Ended(key), json!({ "fault": what })),
            }
        });
        Ok(())
    }
}

fn is_kind(source: &PushSource, kind: Source) -> bool {
    match kind {
        Source::Grpc => source.grpc.is_some(),
        Source::Kafka => source.kafka.is_some(),
        Source::Http => source.http.is_some(),
    }
}

fn caller() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 50_001))
}

async fn posted(
    network: &MemoryNetwork,
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> Result<v1::PushResponse, Value> {
    let lost = |why: String| json!({ "code": "lost", "detail": why });
    let stream = network.dial(address, caller());
    let stream = stream.map_err(|error| lost(error.to_string()))?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| lost(error.to_string()))?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| lost(error.to_string()))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| lost(error.to_string()))?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| lost(error.to_string()));
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let fault = said.get("fault").unwrap_or(&said);
    let text = String::from_utf8_lossy(&body);
    let code = fault.get("code").cloned();
    Err(json!({
        "code": code.unwrap_or_else(|| status.as_u16().to_string().into()),
        "status": status.as_u16(),
        "detail": fault.get("detail").and_then(Value::as_str).unwrap_or(&text),
    }))
}

fn ended(log: &Log, key: &str, response: &v1::PushResponse) {
    let outcomes = response.outcomes.iter().map(|outcome| {
        let mut value = json!({ "status": outcome.status().as_str_name() });
        if let Some(reason) = &outcome.reason {
            value["reason"] = fault_value(reason);
        }
        (outcome.receiver_id.clone(), value)
    });
    let outcomes: Map<String, Value> = outcomes.collect();
    log.see(
        Place::Ended(key.to_owned()),
        json!({ "outcomes": outcomes }),
    );
}

/// The push as backends write it in JSON.
fn as_json(request: &v1::PushRequest) -> Value {
    let mut push = json!({
        "key": request.key,
        "biz_id": request.biz_id,
        "receiver_ids": request.receiver_ids,
        "body": STANDARD.encode(&request.body),
        "all": request.all,
    });
    if let Some(device_id) = &request.device_id {
        push["device_id"] = device_id.as_str().into();
    }
    if let Some(at) = request.expires_at {
        push["expires_at"] = at.into();
    }
    if let Some(ack) = request.ack {
        push["ack"] = ack.into();
    }
    push
}
