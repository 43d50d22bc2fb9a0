//! The two methods of a backend: one message, and many.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use linkgate_filter::Message;
use linkgate_proto::v1::{BatchOnReceiveResponse, OnReceiveResponse};
use tonic::client::Grpc;
use tonic::{Response, Status};

use crate::call::{Rpc, Try};
use crate::request::{self, Request, Tried, Wording};

/// `BackendService.OnReceive`.
pub(crate) struct One {
    request: Bytes,
    user: u64,
}

/// `BatchBackendService.BatchOnReceive`.
pub(crate) struct Many {
    requests: Arc<[Bytes]>,
    users: Vec<u64>,
}

impl One {
    pub(crate) fn of(m: &Message) -> Self {
        Self {
            request: request::of(m),
            user: user(m),
        }
    }
}

impl Many {
    pub(crate) fn of(parts: &[Message]) -> Self {
        Self {
            requests: parts.iter().map(request::of).collect(),
            users: parts.iter().map(user).collect(),
        }
    }
}

impl Rpc for One {
    type Reply = OnReceiveResponse;

    fn users(&self) -> BTreeSet<u64> {
        [self.user].into()
    }

    fn send(&self, this: Try) -> BoxFuture<'static, Result<OnReceiveResponse, Status>> {
        const PATH: &str = "/linkgate.v1.BackendService/OnReceive";
        let request = Request::One(self.request.clone());
        Box::pin(unary(this, request, PATH))
    }
}

impl Rpc for Many {
    type Reply = BatchOnReceiveResponse;

    fn users(&self) -> BTreeSet<u64> {
        self.users.iter().copied().collect()
    }

    fn send(&self, mut this: Try) -> BoxFuture<'static, Result<BatchOnReceiveResponse, Status>> {
        const PATH: &str = "/linkgate.v1.BatchBackendService/BatchOnReceive";
        // Each item may have an answer of its own.
        this.max_answer = this.max_answer.saturating_mul(self.requests.len().max(1));
        let request = Request::Many(self.requests.clone());
        Box::pin(unary(this, request, PATH))
    }
}

async fn unary<R: prost::Message + Default + Send + 'static>(
    this: Try,
    request: Request,
    path: &'static str,
) -> Result<R, Status> {
    let Try {
        wire,
        envelope,
        attempt,
        max_answer,
    } = this;
    let tried = Tried { attempt, request };
    let wording = Wording::of(&tried);
    let mut client = Grpc::new(wire.taking(max_answer)).max_decoding_message_size(max_answer);
    let path = PathAndQuery::from_static(path);
    let response = client.unary(envelope.map(|()| tried), path, wording).await;
    response.map(Response::into_inner)
}

/// A user as a number. Two that share one pass for the same.
fn user(m: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    m.link.identity.user_id.hash(&mut hasher);
    hasher.finish()
}
