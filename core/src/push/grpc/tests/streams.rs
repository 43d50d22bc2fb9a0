//! Many pushes over one call.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::*;

struct Stream {
    requests: mpsc::Sender<PushRequest>,
    answers: Streaming<PushResponse>,
}

async fn stream(client: &mut PushServiceClient<Channel>) -> Stream {
    let (requests, read) = mpsc::channel(16);
    let call = client.push_stream(authorized(
        ReceiverStream::new(read),
        &format!("Bearer {TOKEN}"),
    ));
    let answers = call.await.unwrap().into_inner();
    Stream { requests, answers }
}

impl Stream {
    async fn next(&mut self) -> PushResponse {
        self.answers.message().await.unwrap().expect("an answer")
    }
}

#[tokio::test]
async fn a_stream_has_a_bounded_number_under_way_and_answers_as_they_settle() {
    let config = GrpcSource {
        max_in_flight: 2,
        ..config()
    };
    let source = serve(&config).await;
    let link = source.links.connect("alice", None);
    let mut stream = stream(&mut source.client().await).await;
    for key in ["k0", "k1", "k2"] {
        stream
            .requests
            .send(request(key, &["alice"]))
            .await
            .unwrap();
    }
    source.queued(&link, 2).await;
    let (first, second) = (link.take().unwrap(), link.take().unwrap());
    assert_eq!((&*first.key, &*second.key), ("k0", "k1"));
    assert!(link.keys().is_empty(), "the third has to wait");
    second.settle(Outcome::accepted(""));
    assert_eq!(stream.next().await.key, "k1");
    source.queued(&link, 1).await;
    first.settle(Outcome::accepted(""));
    link.ack();
    let mut keys = [stream.next().await.key, stream.next().await.key];
    keys.sort();
    assert_eq!(keys, ["k0", "k2"]);
}

#[tokio::test]
async fn a_refused_push_leaves_the_stream_open() {
    let config = GrpcSource {
        auth: vec![caller(TOKEN, "chat")],
        ..config()
    };
    let source = serve(&config).await;
    let link = source.links.connect("alice", None);
    let mut stream = stream(&mut source.client().await).await;
    let mut refused = async |request: PushRequest| {
        let key = request.key.clone();
        stream.requests.send(request).await.unwrap();
        let answer = stream.next().await;
        assert_eq!(answer.key, key);
        assert!(answer.outcomes.is_empty());
        answer.fault.expect("a fault").code
    };
    assert_eq!(refused(request("k", &[])).await, "push.invalid");
    let shop = PushRequest {
        biz_id: "shop".to_owned(),
        ..request("k", &["alice"])
    };
    assert_eq!(refused(shop).await, "push.forbidden");
    stream
        .requests
        .send(request("k", &["alice"]))
        .await
        .unwrap();
    source.queued(&link, 1).await;
    link.ack();
    assert_eq!(
        statuses(&stream.next().await),
        [("alice", Status::Delivered)]
    );
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_reads_no_more() {
    let source = serve(&config()).await;
    let link = source.links.connect("alice", None);
    let mut stream = stream(&mut source.client().await).await;
    stream
        .requests
        .send(request("k", &["alice"]))
        .await
        .unwrap();
    source.queued(&link, 1).await;
    source.stop.cancel();
    link.ack();
    assert_eq!(
        statuses(&stream.next().await),
        [("alice", Status::Delivered)]
    );
    assert_eq!(stream.answers.message().await.unwrap(), None);
    source.served.await.unwrap().unwrap();
}

/// Sends one small frame for each push, as many clients do, until all are sent. Tells when it has to wait for the first
/// time.
async fn send_all(
    mut stream: h2::SendStream<bytes::Bytes>,
    pushes: usize,
    waits: &tokio::sync::Notify,
) {
    for number in 0..pushes {
        let push = request(&format!("k{number}"), &["alice"]);
        let frame = super::wire::framed(&PushRequest {
            body: vec![b'x'; 60].into(),
            ..push
        });
        stream.reserve_capacity(frame.len());
        while stream.capacity() < frame.len() {
            let mut room = std::pin::pin!(std::future::poll_fn(|cx| stream.poll_capacity(cx)));
            tokio::select! {
                biased;
                room = &mut room => assert!(room.is_some_and(|room| room.is_ok()), "the connection is gone"),
                () = std::future::ready(()) => {
                    waits.notify_one();
                    assert!(room.await.is_some_and(|room| room.is_ok()), "the connection is gone");
                }
            }
        }
        stream.send_data(frame, false).expect("an open stream");
    }
    stream
        .send_data(bytes::Bytes::new(), true)
        .expect("an open stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_stream_of_small_pushes_waits_and_loses_none() {
    const PUSHES: usize = 10_000;
    let source = serve(&config()).await;
    let link = source.links.connect("alice", None);
    let mut wire = super::wire::Wire::open(source.address).await;
    let (answer, stream) = wire.call("PushStream").await;
    let waits = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&waits);
    let sent = tokio::spawn(async move { send_all(stream, PUSHES, &told).await });
    source.queued(&link, 256).await;
    waits.notified().await;
    assert_eq!(link.keys().len(), 256, "no more than `max_in_flight`");
    assert!(!sent.is_finished(), "the stream is read no further");
    let body = answer.await.unwrap().into_body();
    let mut answers = super::wire::Answers::of(body);
    let acknowledge = async {
        for _ in 0..PUSHES {
            source.queued(&link, 1).await;
            link.ack();
        }
    };
    let read = async {
        let mut keys = std::collections::HashSet::new();
        while let Some(answer) = answers.next().await {
            assert_eq!(statuses(&answer), [("alice", Status::Delivered)]);
            keys.insert(answer.key);
        }
        keys.len()
    };
    let ((), answered) = tokio::join!(acknowledge, read);
    assert_eq!(answered, PUSHES);
    sent.await.unwrap();
    assert!(source.reception.text().contains("reason=\"protocol\"} 0"));
}
