//! A backend's end of the push service.

use std::net::SocketAddr;

use linkgate_proto::v1::push_service_client::PushServiceClient;
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{PushRequest, PushResponse, ReceiverOutcome};
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use super::wait::within;

type Authorised = InterceptedService<Channel, Token>;

/// A caller of the push service. Clones are the same caller.
#[derive(Clone)]
pub(crate) struct Caller(PushServiceClient<Authorised>);

/// Sent with every call.
#[derive(Clone)]
struct Token(Option<String>);

impl tonic::service::Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Caller {
    /// A caller without a token.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::with_token(address, None)
    }

    /// A caller with a token.
    pub(crate) fn with_token(address: SocketAddr, token: Option<&str>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        let token = Token(token.map(str::to_owned));
        Self(PushServiceClient::with_interceptor(channel, token))
    }

    /// Pushes, and waits for the outcome.
    pub(crate) async fn push(&self, request: PushRequest) -> Result<PushResponse, tonic::Status> {
        let mut client = self.0.clone();
        let what = format!("the outcome of {}", request.key);
        let answer = within(&what, client.push(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Pushes, and waits for the outcome for the one receiver.
    pub(crate) async fn push_one(&self, request: PushRequest) -> ReceiverOutcome {
        let answer = self.push(request).await.unwrap();
        let [outcome] = answer.outcomes.try_into().expect("one receiver");
        outcome
    }

    /// Pushes to one receiver beside what else happens.
    pub(crate) fn pushing(&self, request: PushRequest) -> JoinHandle<ReceiverOutcome> {
        let caller = self.clone();
        tokio::spawn(async move { caller.push_one(request).await })
    }

    /// Pushes all of them over one call. Answers come in any order.
    pub(crate) async fn stream(&self, requests: Vec<PushRequest>) -> Streaming<PushResponse> {
        let mut client = self.0.clone();
        let call = client.push_stream(tokio_stream::iter(requests));
        within("the stream opens", call).await.unwrap().into_inner()
    }
}

/// A push to users of the business `chat`.
pub(crate) fn push(key: &str, receivers: &[&str]) -> PushRequest {
    PushRequest {
        key: key.into(),
        biz_id: "chat".into(),
        receiver_ids: receivers.iter().map(|&user| user.into()).collect(),
        body: format!("body of {key}").into(),
        ..PushRequest::default()
    }
}

/// How it ended, and the code of the reason; empty where there is none.
pub(crate) fn read(outcome: &ReceiverOutcome) -> (Status, &str) {
    let code = outcome.reason.as_ref().map_or("", |fault| &fault.code);
    (outcome.status(), code)
}
