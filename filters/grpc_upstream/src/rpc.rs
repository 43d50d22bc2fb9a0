//! The two methods of a backend: one message, and many.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::future::BoxFuture;
use linkgate_filter::Message;
use linkgate_filter::trace::link_id;
use linkgate_proto::v1::backend_service_client::BackendServiceClient;
use linkgate_proto::v1::batch_backend_service_client::BatchBackendServiceClient;
use linkgate_proto::v1::{
    BatchOnReceiveRequest, BatchOnReceiveResponse, OnReceiveRequest, OnReceiveResponse,
};
use tonic::{Request, Response, Status};

use crate::call::Rpc;
use crate::wire::Wire;

/// `BackendService.OnReceive`.
pub(crate) struct One(pub(crate) OnReceiveRequest);

/// `BatchBackendService.BatchOnReceive`.
pub(crate) struct Many(pub(crate) Vec<OnReceiveRequest>);

impl Rpc for One {
    type Reply = OnReceiveResponse;

    fn users(&self) -> BTreeSet<u64> {
        [user(&self.0)].into()
    }

    fn send(
        &self,
        wire: Wire,
        envelope: Request<()>,
        attempt: u32,
        max_answer: usize,
    ) -> BoxFuture<'_, Result<OnReceiveResponse, Status>> {
        let request = OnReceiveRequest {
            attempt,
            ..self.0.clone()
        };
        let request = envelope.map(|()| request);
        Box::pin(async move {
            let mut client = BackendServiceClient::new(wire.taking(max_answer))
                .max_decoding_message_size(max_answer)
                .max_encoding_message_size(usize::MAX);
            client.on_receive(request).await.map(Response::into_inner)
        })
    }
}

impl Rpc for Many {
    type Reply = BatchOnReceiveResponse;

    fn users(&self) -> BTreeSet<u64> {
        self.0.iter().map(user).collect()
    }

    fn send(
        &self,
        wire: Wire,
        envelope: Request<()>,
        attempt: u32,
        max_answer: usize,
    ) -> BoxFuture<'_, Result<BatchOnReceiveResponse, Status>> {
        let items = self.0.iter().cloned();
        let items = items.map(|item| OnReceiveRequest { attempt, ..item });
        let request = BatchOnReceiveRequest {
            items: items.collect(),
        };
        let request = envelope.map(|()| request);
        // Each item may have an answer of its own.
        let max_answer = max_answer.saturating_mul(self.0.len().max(1));
        Box::pin(async move {
            let mut client = BatchBackendServiceClient::new(wire.taking(max_answer))
                .max_decoding_message_size(max_answer)
                .max_encoding_message_size(usize::MAX);
            let response = client.batch_on_receive(request).await;
            response.map(Response::into_inner)
        })
    }
}

/// A user as a number. Two that share one pass for the same.
fn user(request: &OnReceiveRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.user_id.hash(&mut hasher);
    hasher.finish()
}

/// The request for a message; `attempt` is set with each try.
pub(crate) fn request(m: &Message) -> OnReceiveRequest {
    let identity = &m.link.identity;
    OnReceiveRequest {
        key: m.key.clone(),
        body: m.body.clone(),
        biz_id: identity.biz_id.to_string(),
        user_id: identity.user_id.to_string(),
        device_id: identity.device_id.as_deref().unwrap_or_default().to_owned(),
        link_id: link_id(&m.link),
        attempt: 0,
    }
}
