//! The source over a real socket: what a caller is answered, and who may call.

mod messages;
mod strangers;
mod streams;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Clock, Outcome};
use linkgate_proto::v1::push_service_client::PushServiceClient;
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{PushRequest, PushResponse};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::*;
use crate::clock::SystemClock;
use crate::network::Network;
use crate::push::testing::{TestLink, TestLinks};
use crate::push::{GrpcCaller, GrpcSource, PushLimits, PushMetrics, Router};
use crate::reception::ReceptionMetrics;
use crate::secret::Secret;

const TOKEN: &str = "0123456789abcdef";

struct Source {
    links: Arc<TestLinks>,
    url: String,
    address: SocketAddr,
    reception: ReceptionMetrics,
    stop: CancellationToken,
    served: JoinHandle<Result<(), GrpcPushError>>,
}

fn config() -> GrpcSource {
    GrpcSource::at("127.0.0.1:0".parse().expect("an address"))
}

async fn serve(config: &GrpcSource) -> Source {
    let links = Arc::new(TestLinks::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let router = Router::new(
        Arc::clone(&links) as _,
        clock,
        &PushLimits::default(),
        PushMetrics::default(),
    );
    let reception = ReceptionMetrics::default();
    let source = GrpcPush::bind(config, router, (&Network::System, &reception)).unwrap();
    let address = source.address().unwrap();
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{address}");
    let stop = CancellationToken::new();
    let served = tokio::spawn(source.serve(stop.clone()));
    Source {
        links,
        url,
        address,
        reception,
        stop,
        served,
    }
}

impl Source {
    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.url.clone()).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn client(&self) -> PushServiceClient<Channel> {
        PushServiceClient::new(self.channel().await)
    }

    /// Waits until a line of what is counted of connections ends so.
    async fn counts(&self, end: &str) {
        let counted = async {
            while !self
                .reception
                .text()
                .lines()
                .any(|line| line.ends_with(end))
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), counted)
            .await
            .unwrap_or_else(|_| panic!("not {end}: {}", self.reception.text()));
    }

    /// Waits until the link has that many pushes in its queue.
    async fn queued(&self, link: &TestLink, pushes: usize) {
        let enough = async {
            while link.keys().len() < pushes {
                self.links.arrived.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough)
            .await
            .unwrap_or_else(|_| panic!("the link has only {:?}", link.keys()));
    }
}

fn request(key: &str, receivers: &[&str]) -> PushRequest {
    PushRequest {
        key: key.to_owned(),
        biz_id: "chat".to_owned(),
        receiver_ids: receivers.iter().map(|&id| id.to_owned()).collect(),
        body: "hello".into(),
        ..PushRequest::default()
    }
}

fn authorized<T>(message: T, header: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = header.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn statuses(response: &PushResponse) -> Vec<(&str, Status)> {
    let outcomes = response.outcomes.iter();
    outcomes
        .map(|o| (o.receiver_id.as_str(), o.status()))
        .collect()
}

#[tokio::test]
async fn a_call_is_answered_for_every_receiver_in_their_order() {
    let source = serve(&config()).await;
    let (alice, bob) = (
        source.links.connect("alice", None),
        source.links.connect("bob", None),
    );
    let mut client = source.client().await;
    let call =
        tokio::spawn(async move { client.push(request("k", &["nobody", "bob", "alice"])).await });
    source.queued(&alice, 1).await;
    source.queued(&bob, 1).await;
    alice.ack();
    bob.settle(Outcome::sent());
    let response = call.await.unwrap().unwrap().into_inner();
    assert_eq!((&*response.key, &*response.biz_id), ("k", "chat"));
    assert_eq!(
        statuses(&response),
        [
            ("nobody", Status::Offline),
            ("bob", Status::Sent),
            ("alice", Status::Delivered)
        ]
    );
    let reason = response.outcomes[0].reason.as_ref().unwrap();
    assert_eq!((&*reason.code, reason.retryable), ("push.offline", true));
}

#[tokio::test]
async fn a_thousand_receivers_are_reached_and_one_more_is_refused() {
    let source = serve(&config()).await;
    let names: Vec<_> = (0..1_000).map(|i| format!("u{i}")).collect();
    let links: Vec<_> = names
        .iter()
        .map(|name| source.links.connect(name, None))
        .collect();
    let mut ids: Vec<_> = names.iter().map(String::as_str).collect();
    let mut client = source.client().await;
    let (push, mut caller) = (request("k", &ids), client.clone());
    let call = tokio::spawn(async move { caller.push(push).await });
    for link in &links {
        source.queued(link, 1).await;
        link.ack();
    }
    let response = call.await.unwrap().unwrap().into_inner();
    let delivered = response
        .outcomes
        .iter()
        .filter(|o| o.status() == Status::Delivered);
    assert_eq!(delivered.count(), 1_000);
    ids.push("one more");
    let status = client.push(request("k2", &ids)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_with_the_reason() {
    let source = serve(&config()).await;
    let link = source.links.connect("alice", None);
    let mut client = source.client().await;
    let long = "x".repeat(129);
    for (request, said) in [
        (request("", &["alice"]), "`key` is empty"),
        (request(&long, &["alice"]), "`key` is longer"),
        (request("k", &[]), "`receiver_ids` has 0 entries"),
        (request("k", &["alice", "alice"]), "twice"),
        (request("k", &["alice", ""]), "`receiver_ids` is empty"),
        (
            PushRequest {
                biz_id: String::new(),
                ..request("k", &["alice"])
            },
            "`biz_id` is empty",
        ),
        (
            PushRequest {
                device_id: Some(String::new()),
                ..request("k", &["alice"])
            },
            "`device_id` is empty",
        ),
    ] {
        let status = client.push(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(said), "{status:?}");
    }
    let late = PushRequest {
        expires_at: Some(-1),
        ..request("k", &["alice"])
    };
    let response = client.push(late).await.unwrap().into_inner();
    assert_eq!(statuses(&response), [("alice", Status::Expired)]);
    assert!(link.keys().is_empty());
}

#[tokio::test]
async fn the_caller_is_answered_before_its_deadline() {
    let source = serve(&config()).await;
    let link = source.links.connect("alice", None);
    let mut client = source.client().await;
    let mut call = Request::new(request("k", &["alice", "nobody"]));
    call.set_timeout(Duration::from_millis(500));
    let response = client.push(call).await.unwrap().into_inner();
    assert_eq!(
        statuses(&response),
        [("alice", Status::Expired), ("nobody", Status::Offline)]
    );
    let reason = response.outcomes[0].reason.as_ref().unwrap();
    assert_eq!((&*reason.code, reason.retryable), ("push.unsettled", true));

    // The push is still under way, and asking again would join it.
    assert_eq!(link.keys(), ["k"]);
}

fn caller(token: &str, biz_id: &str) -> GrpcCaller {
    GrpcCaller {
        token: Some(Secret::new(token)),
        client_cert: None,
        biz_ids: vec![biz_id.to_owned()],
    }
}

#[tokio::test]
async fn a_caller_needs_its_token_and_reaches_its_businesses_only() {
    let config = GrpcSource {
        auth: vec![caller(TOKEN, "chat"), caller("fedcba9876543210", "shop")],
        ..config()
    };
    let source = serve(&config).await;
    let mut client = source.client().await;
    let push = || request("k", &["nobody"]);
    let code = |result: Result<_, tonic::Status>| result.map(|_| ()).map_err(|s| s.code());
    assert_eq!(code(client.push(push()).await), Err(Code::Unauthenticated));
    for (header, expected) in [
        ("Bearer 0123456789abcdef", Ok(())),
        ("bearer 0123456789abcdef", Ok(())),
        ("Bearer fedcba9876543210", Err(Code::PermissionDenied)),
        ("Bearer 0123456789abcdeF", Err(Code::Unauthenticated)),
        ("Bearer ", Err(Code::Unauthenticated)),
        ("Basic 0123456789abcdef", Err(Code::Unauthenticated)),
        ("0123456789abcdef", Err(Code::Unauthenticated)),
    ] {
        let result = client.push(authorized(push(), header)).await;
        assert_eq!(code(result), expected, "{header}");
    }
    let nothing = tokio_stream::empty::<PushRequest>();
    let refused = client.push_stream(nothing).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_push_over_the_limit_is_refused_by_size() {
    let config = GrpcSource {
        max_message: linkgate_filter::units::ByteSize::new(1_000),
        ..config()
    };
    let source = serve(&config).await;
    let mut client = source.client().await;
    let large = PushRequest {
        body: vec![0; 2_000].into(),
        ..request("k", &["nobody"])
    };
    let status = client.push(large).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(client.push(request("k", &["nobody"])).await.is_ok());
}

#[tokio::test]
async fn health_is_served() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let source = serve(&config()).await;
    let mut client = HealthClient::new(source.channel().await);
    let service = "linkgate.v1.PushService".to_owned();
    let answer = client.check(HealthCheckRequest { service }).await.unwrap();
    let serving = tonic_health::ServingStatus::Serving as i32;
    assert_eq!(answer.into_inner().status, serving);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let links = Arc::new(TestLinks::default());
    let router = Router::new(
        links,
        Arc::new(SystemClock),
        &PushLimits::default(),
        PushMetrics::default(),
    );
    let bound = GrpcPush::bind(
        &GrpcSource::at(address),
        router,
        (&Network::System, &ReceptionMetrics::default()),
    );
    let error = bound.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[test]
fn timeouts_are_read_as_grpc_writes_them() {
    use super::service::timeout;
    assert_eq!(timeout("500m"), Some(Duration::from_millis(500)));
    assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
    assert_eq!(
        timeout("99999999H"),
        Some(Duration::from_secs(99_999_999 * 3_600))
    );
    for wrong in ["", "5", "S", "-1S", "5x", "999999999S", "5µ"] {
        assert_eq!(timeout(wrong), None, "{wrong}");
    }
}
