//! The sample backend over loopback gRPC, and chat against a scripted push service.

use std::time::Duration;

use bytes::Bytes;
use linkgate_proto::v1::backend_service_client::BackendServiceClient;
use linkgate_proto::v1::batch_backend_service_client::BatchBackendServiceClient;
use linkgate_proto::v1::batch_result::Outcome;
use linkgate_proto::v1::push_service_server::{PushService, PushServiceServer};
use linkgate_proto::v1::receiver_outcome::Status as Receiver;
use linkgate_proto::v1::{BatchOnReceiveRequest, PushRequest, PushResponse, ReceiverOutcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::*;

async fn start(behaviour: Behaviour, mode: Mode) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sample = Sample {
        behaviour,
        mode,
        watch: Watch::default(),
    };
    tokio::spawn(sample.serve(listener, std::future::pending()));
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

fn message(key: &str, body: &'static str) -> OnReceiveRequest {
    OnReceiveRequest {
        key: key.into(),
        body: Bytes::from_static(body.as_bytes()),
        biz_id: "chat".into(),
        user_id: "alice".into(),
        ..OnReceiveRequest::default()
    }
}

#[tokio::test]
async fn it_accepts_and_echoes() {
    for (mode, answer) in [(Mode::Accept, ""), (Mode::Echo, "hi")] {
        let mut client = BackendServiceClient::new(start(Behaviour::default(), mode).await);
        assert_eq!(
            client
                .on_receive(message("k", "hi"))
                .await
                .unwrap()
                .into_inner()
                .body,
            answer
        );
    }
}

#[tokio::test]
async fn it_fails_with_the_status_asked_for() {
    let fail = (Share::ALL, FailCode(Code::ResourceExhausted));
    let mut client = BackendServiceClient::new(
        start(
            Behaviour {
                fail,
                ..Behaviour::default()
            },
            Mode::Echo,
        )
        .await,
    );
    let status = client.on_receive(message("k", "hi")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn it_fails_about_the_share_asked_for() {
    let fail = ("50%".parse().unwrap(), FailCode(Code::Unavailable));
    let mut client = BatchBackendServiceClient::new(
        start(
            Behaviour {
                fail,
                ..Behaviour::default()
            },
            Mode::Echo,
        )
        .await,
    );
    let items: Vec<_> = (0..1000).map(|i| message(&i.to_string(), "hi")).collect();
    let results = client
        .batch_on_receive(BatchOnReceiveRequest { items })
        .await
        .unwrap()
        .into_inner()
        .results;
    assert!(
        (0..)
            .zip(&results)
            .all(|(i, r)| r.position == i && r.key == i.to_string())
    );
    let failed = results
        .iter()
        .filter(|r| matches!(&r.outcome, Some(Outcome::Failed(fault)) if fault.retryable))
        .count();
    assert!((300..700).contains(&failed), "{failed}");
}

#[tokio::test]
async fn it_is_slow_and_hangs_on_demand() {
    let delay = Duration::from_millis(30);
    let mut slow = BackendServiceClient::new(
        start(
            Behaviour {
                delay,
                ..Behaviour::default()
            },
            Mode::Echo,
        )
        .await,
    );
    let before = tokio::time::Instant::now();
    slow.on_receive(message("k", "hi")).await.unwrap();
    assert!(before.elapsed() >= delay);

    let hang = Share::ALL;
    let mut silent = BackendServiceClient::new(
        start(
            Behaviour {
                hang,
                ..Behaviour::default()
            },
            Mode::Echo,
        )
        .await,
    );
    let mut request = Request::new(message("k", "hi"));
    request.set_timeout(Duration::from_millis(50));
    assert!(silent.on_receive(request).await.is_err());
}

/// A push service that answers each push as `offline` for "nobody", the first two for "late" too, and as `delivered`
/// for others, and shows what it got.
struct Pushes(mpsc::Sender<PushRequest>);

#[tonic::async_trait]
impl PushService for Pushes {
    async fn push(&self, _: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        Err(Status::unimplemented("the stream is used"))
    }

    type PushStreamStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<PushResponse, Status>> + Send>>;

    async fn push_stream(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStreamStream>, Status> {
        if request
            .metadata()
            .get("authorization")
            .is_none_or(|token| token != "Bearer t")
        {
            return Err(Status::unauthenticated("who are you?"));
        }
        let (answers, stream) = mpsc::channel(16);
        let (mut requests, seen) = (request.into_inner(), self.0.clone());
        tokio::spawn(async move {
            let mut late = 0;
            while let Some(Ok(push)) = requests.next().await {
                late += u32::from(push.receiver_ids == ["late"]);
                let away = push.receiver_ids == ["late"] && late <= 2;
                let status = if away || push.receiver_ids == ["nobody"] {
                    Receiver::Offline
                } else {
                    Receiver::Delivered
                };
                let outcome = ReceiverOutcome {
                    status: status.into(),
                    ..ReceiverOutcome::default()
                };
                let answer = PushResponse {
                    key: push.key.clone(),
                    biz_id: push.biz_id.clone(),
                    outcomes: vec![outcome],
                    fault: None,
                };
                seen.send(push).await.unwrap();
                answers.send(Ok(answer)).await.unwrap();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn push_service() -> (String, mpsc::Receiver<PushRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, pushes) = mpsc::channel(16);
    let server =
        tonic::transport::Server::builder().add_service(PushServiceServer::new(Pushes(seen)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, pushes)
}

#[tokio::test]
async fn chat_reaches_the_other_and_tells_the_sender() {
    let (url, mut pushes) = push_service().await;
    let pusher = Pusher::start(&url, Some("t"), 10, |status| panic!("{status}")).unwrap();
    let mut client =
        BackendServiceClient::new(start(Behaviour::default(), Mode::Chat(Chat::new(pusher))).await);

    for (to, state) in [("bob", "delivered"), ("nobody", "offline")] {
        let mut letter = message(to, "");
        letter.body = format!(r#"{{"to": "{to}", "text": "hi"}}"#).into();
        // The second is the same message again: it is accepted, and not sent on again.
        client.on_receive(letter.clone()).await.unwrap();
        client.on_receive(letter).await.unwrap();
        let push = pushes.recv().await.unwrap();
        assert_eq!(
            (push.receiver_ids, push.biz_id.as_str()),
            (vec![to.to_owned()], "chat")
        );
        assert_eq!(
            push.body,
            format!(r#"{{"from":"alice","text":"hi","key":"{to}"}}"#)
        );
        let told = pushes.recv().await.unwrap();
        assert_eq!(told.receiver_ids, ["alice"]);
        assert_eq!(
            told.body,
            format!(r#"{{"about":"{to}","state":"{state}"}}"#)
        );
    }
    // What is no letter goes no further.
    client.on_receive(message("k", "hi")).await.unwrap();
    assert!(pushes.try_recv().is_err());
}

#[tokio::test]
async fn a_letter_to_a_user_who_is_offline_is_tried_again() {
    let (url, mut pushes) = push_service().await;
    let pusher = Pusher::start(&url, Some("t"), 10, |status| panic!("{status}")).unwrap();
    let mut chat = Chat::new(pusher);
    chat.again_after = Duration::from_millis(1);
    let mut client = BackendServiceClient::new(start(Behaviour::default(), Mode::Chat(chat)).await);
    let mut letter = message("k", "");
    letter.body = r#"{"to": "late", "text": "hi"}"#.into();
    client.on_receive(letter).await.unwrap();

    let (mut tries, mut told) = (Vec::new(), Vec::new());
    while told.len() < 2 {
        let push = pushes.recv().await.unwrap();
        if push.receiver_ids == ["late"] {
            tries.push(push.key);
        } else {
            told.push(push.body);
        }
    }
    assert_eq!(tries, vec![tries[0].clone(); 3], "one push under one key");
    assert_eq!(told[0], r#"{"about":"k","state":"offline"}"#);
    assert_eq!(told[1], r#"{"about":"k","state":"delivered"}"#);
}

#[tokio::test]
async fn a_pusher_that_is_turned_away_says_so() {
    let (url, _pushes) = push_service().await;
    let (refusals, mut refused) = mpsc::channel(1);
    let pusher = Pusher::start(&url, None, 10, move |status| {
        refusals.try_send(status).unwrap();
    })
    .unwrap();
    assert_eq!(refused.recv().await.unwrap().code(), Code::Unauthenticated);
    // What its task had taken goes with it, and nothing can be pushed from then on.
    if let Ok(outcome) = pusher.try_push(PushRequest::default()) {
        assert!(outcome.await.is_err());
    }
    assert!(matches!(
        pusher.try_push(PushRequest::default()),
        Err(linkgate_client::NotPushed::Gone)
    ));
}
