//! Calls over connections in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use h2::server::SendResponse;
use http_body_util::Full;
use linkgate_filter::backend::GrpcBackend;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::*;
use crate::address::Settings;
use crate::connector::Io;

/// How often it was dialled, and the far ends of what was.
struct Dialled {
    count: AtomicUsize,
    takes: Duration,
    /// The first attempt comes to nothing.
    first_hangs: AtomicBool,
    far: mpsc::Sender<DuplexStream>,
}

impl Connector for Dialled {
    fn connect(&self, address: &Address) -> BoxFuture<'static, Result<Box<dyn Io>, ConnectError>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (far, takes) = (self.far.clone(), self.takes);
        let hangs = self.first_hangs.swap(false, Ordering::Relaxed);
        let within = *address.settings.connect_timeout;
        Box::pin(async move {
            if hangs {
                sleep(within).await;
                return Err(ConnectError::Late);
            }
            sleep(takes).await;
            let (near, this) = duplex(64 * 1024);
            let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            far.try_send(this).map_err(refused)?;
            Ok(Box::new(near) as _)
        })
    }

    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

fn channel(takes: Duration) -> (Channel, Arc<Dialled>, mpsc::Receiver<DuplexStream>) {
    let (far, dialled) = mpsc::channel(16);
    let connector = Arc::new(Dialled {
        count: AtomicUsize::new(0),
        takes,
        first_hangs: AtomicBool::new(false),
        far,
    });
    let backend = GrpcBackend::at("backend:1");
    let address = Address {
        uri: http::Uri::from_static("http://192.0.2.1:1"),
        origin: http::Uri::from_static("http://backend:1"),
        settings: Arc::new(Settings {
            tls: None,
            keep_alive: backend.keep_alive,
            connect_timeout: backend.connect_timeout,
        }),
    };
    let erased = Arc::clone(&connector) as Arc<dyn Connector>;
    (Channel::new(&address, &erased), connector, dialled)
}

fn request(body: Vec<u8>) -> Request<Body> {
    let body = Body::new(Full::new(Bytes::from(body)));
    Request::post("/linkgate.Test/Call").body(body).unwrap()
}

/// Answers each call of a connection with the length of its body, in a trailer.
async fn serve(far: DuplexStream) {
    let mut connection = h2::server::handshake(far).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(request.uri(), "http://backend:1/linkgate.Test/Call");
    assert_eq!(request.headers()[USER_AGENT], AGENT);
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(data)) = body.data().await {
        length += data.len();
        let _ = body.flow_control().release_capacity(data.len());
    }
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("length", length.into());
    stream.send_trailers(trailers).unwrap();
}

async fn length(channel: &Channel, body: Vec<u8>) -> Result<u64, Status> {
    let answer = channel.call(request(body)).await?.into_body();
    let answer = answer.collect().await?;
    let length = &answer.trailers().unwrap()["length"];
    Ok(length.to_str().unwrap().parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_while_it_connects_share_one_attempt() {
    let (channel, dialled, mut far) = channel(Duration::from_secs(1));
    tokio::spawn(async move { serve(far.recv().await.unwrap()).await });
    let calls = (0..100).map(|n| length(&channel, vec![0; n]));
    let lengths: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(lengths, (0..100).collect::<Vec<u64>>());
    assert_eq!(dialled.count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_on_an_attempt_takes_it_from_nobody() {
    let (channel, dialled, mut far) = channel(Duration::from_secs(2));
    tokio::spawn(async move { serve(far.recv().await.unwrap()).await });
    let early = timeout(Duration::from_secs(1), length(&channel, vec![]));
    assert!(early.await.is_err());
    assert_eq!(length(&channel, vec![0; 3]).await.unwrap(), 3);
    assert_eq!(dialled.count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_nobody_waits_for_fails_no_later_call() {
    let (channel, dialled, mut far) = channel(Duration::ZERO);
    dialled.first_hangs.store(true, Ordering::Relaxed);
    tokio::spawn(async move { serve(far.recv().await.unwrap()).await });
    let early = timeout(Duration::from_secs(1), length(&channel, vec![]));
    assert!(early.await.is_err());
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(length(&channel, vec![0; 3]).await.unwrap(), 3);
    assert_eq!(dialled.count.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_dropped_ends_its_attempt() {
    let (channel, _dialled, mut far) = channel(Duration::from_secs(2));
    let early = timeout(Duration::from_secs(1), length(&channel, vec![]));
    assert!(early.await.is_err());
    drop(channel);
    sleep(Duration::from_secs(60)).await;
    assert!(far.try_recv().is_err(), "nothing was dialled after all");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_opened_anew_by_the_next_call() {
    let (channel, dialled, mut far) = channel(Duration::ZERO);
    for opened in 1..=3 {
        let serving = async { serve(far.recv().await.unwrap()).await };
        let call = length(&channel, vec![0; opened]);
        let answered = tokio::select! {
            answered = call => answered,
            () = serving => unreachable!("the connection stays open"),
        };
        assert_eq!(answered.unwrap(), opened as u64);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(dialled.count.load(Ordering::Relaxed), opened);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_reached_says_why_and_is_tried_again_by_the_next_call() {
    let (channel, dialled, far) = channel(Duration::ZERO);
    drop(far);
    for tried in 1..=2 {
        let status = length(&channel, vec![]).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let source = std::error::Error::source(&status).unwrap();
        assert!(source.is::<ConnectError>(), "{source:?}");
        assert_eq!(dialled.count.load(Ordering::Relaxed), tried);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_larger_than_all_windows_goes_out_as_it_is_taken() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    tokio::spawn(async move { serve(far.recv().await.unwrap()).await });
    let size = 3 * 1024 * 1024;
    assert_eq!(length(&channel, vec![1; size]).await.unwrap(), size as u64);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_body_is_taken() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(far.recv().await.unwrap())
            .await
            .unwrap();
        let mut held = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let refused = Response::builder().status(413).body(()).unwrap();
            respond.send_response(refused, true).unwrap();
            held.push(request);
        }
    });
    let answer = channel.call(request(vec![1; 1024 * 1024])).await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_no_ping_ends_its_calls() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    let silent = tokio::spawn(async move {
        let far = far.recv().await.unwrap();
        let mut connection = h2::server::handshake(far).await.unwrap();
        let call = connection.accept().await.unwrap().unwrap();
        // From here on nobody reads.
        std::future::pending::<()>().await;
        drop((call, connection));
    });
    let status = length(&channel, vec![]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    silent.abort();
}

/// Notes that it was asked for something.
struct Watched(Arc<AtomicUsize>);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_no_stream_is_not_asked_for_its_body() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    tokio::spawn(async move {
        let mut http2 = h2::server::Builder::new();
        let http2 = http2.max_concurrent_streams(1);
        let mut connection = http2
            .handshake::<_, Bytes>(far.recv().await.unwrap())
            .await
            .unwrap();
        let mut held = Vec::new();
        while let Some(Ok(call)) = connection.accept().await {
            held.push(call);
        }
    });
    let (first, second) = (Arc::default(), Arc::default());
    let call = |asked: &Arc<AtomicUsize>, patience| {
        let request = request(vec![]).map(|_| Body::new(Watched(Arc::clone(asked))));
        let channel = channel.clone();
        async move { timeout(patience, channel.call(request)).await.is_err() }
    };
    let holding = tokio::spawn(call(&first, Duration::from_secs(5)));
    sleep(Duration::from_millis(10)).await;
    assert!(
        call(&second, Duration::from_secs(1)).await,
        "it waits for the first"
    );
    let asked = [&first, &second].map(|asked| asked.load(Ordering::Relaxed));
    assert_eq!((asked[0] > 0, asked[1]), (true, 0));
    assert!(holding.await.unwrap(), "nobody answers");
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_those_without_a_stream_are_not_asked_for_their_bodies() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    tokio::spawn(async move {
        let mut http2 = h2::server::Builder::new();
        let http2 = http2.max_concurrent_streams(2);
        let far = far.recv().await.unwrap();
        let mut connection = http2.handshake::<_, Bytes>(far).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok(call)) = connection.accept().await {
            held.push(call);
        }
    });
    let asked: Vec<Arc<AtomicUsize>> = (0..9).map(|_| Arc::default()).collect();
    let call = |asked: &Arc<AtomicUsize>| {
        let request = request(vec![]).map(|_| Body::new(Watched(Arc::clone(asked))));
        let channel = channel.clone();
        async move {
            timeout(Duration::from_secs(1), channel.call(request))
                .await
                .is_err()
        }
    };
    assert!(
        call(&asked[0]).await,
        "it hears how many calls there may be"
    );
    join_all(asked[1..].iter().map(call)).await;
    let asked = asked[1..]
        .iter()
        .filter(|asked| asked.load(Ordering::Relaxed) > 0);
    assert_eq!(asked.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_left_on_a_connection_that_says_goodbye_is_pinged_for() {
    let (channel, _dialled, mut far) = channel(Duration::ZERO);
    let silent = tokio::spawn(async move {
        let far = far.recv().await.unwrap();
        let mut connection = h2::server::handshake(far).await.unwrap();
        let call = connection.accept().await.unwrap().unwrap();
        connection.graceful_shutdown();
        let _ = timeout(Duration::from_secs(1), connection.accept()).await;
        // From here on nobody reads.
        std::future::pending::<()>().await;
        drop((call, connection));
    });
    let call = tokio::spawn({
        let channel = channel.clone();
        async move { length(&channel, vec![]).await }
    });
    sleep(Duration::from_secs(2)).await;
    // It takes no more calls, so this one has the channel forget it.
    let later = timeout(Duration::from_millis(1), length(&channel, vec![]));
    assert!(later.await.is_err());
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    silent.abort();
}
