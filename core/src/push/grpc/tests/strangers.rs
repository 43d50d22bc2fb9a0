//! Connections that say nothing, and those that do not say who they are.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::wire::Wire;
use super::*;
use crate::reception::ConnectionLimits;

/// More than there may be of strangers and of callers.
const CROWD: usize = 400;

fn guarded() -> GrpcSource {
    GrpcSource {
        auth: vec![caller(TOKEN, "chat")],
        ..config()
    }
}

/// Pushes over a connection of its own.
async fn pushes(source: &Source) -> Result<(), Code> {
    let mut client = source.client().await;
    push_over(&mut client).await
}

async fn push_over(client: &mut PushServiceClient<Channel>) -> Result<(), Code> {
    let push = authorized(request("k", &["nobody"]), &format!("Bearer {TOKEN}"));
    let answer = tokio::time::timeout(Duration::from_secs(10), client.push(push)).await;
    let answer = answer.expect("the push is answered");
    answer.map(|_| ()).map_err(|status| status.code())
}

fn by_chat<T>(message: T) -> tonic::Request<T> {
    authorized(message, &format!("Bearer {TOKEN}"))
}

/// Waits until the far end has closed it.
async fn closed(stream: &mut TcpStream) {
    let mut settings = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut settings));
    let _ = end.await.expect("it is closed");
}

#[tokio::test]
async fn silent_connections_keep_no_caller_out() {
    let source = serve(&guarded()).await;
    let mut early = source.client().await;
    assert_eq!(push_over(&mut early).await, Ok(()));
    let mut silent = Vec::new();
    for _ in 0..CROWD {
        silent.push(TcpStream::connect(source.address).await.unwrap());
    }
    assert_eq!(pushes(&source).await, Ok(()));
    // The first of them had to leave.
    closed(&mut silent[0]).await;
    assert_eq!(push_over(&mut early).await, Ok(()), "a caller stays");
    let text = source.reception.text();
    assert!(text.contains("reason=\"crowded\"} 3"), "{text}");
}

#[tokio::test]
async fn connections_that_answer_pings_keep_no_caller_out() {
    let config = GrpcSource {
        keep_alive: Duration::from_millis(50).into(),
        ..guarded()
    };
    let source = serve(&config).await;
    let mut strangers = Vec::new();
    for _ in 0..CROWD {
        let mut wire = Wire::open(source.address).await;
        // Calls that are refused make no caller.
        let (answer, _) = wire.call_as("Push", "not-the-token-at-all").await;
        drop(answer);
        strangers.push(wire);
    }
    assert_eq!(pushes(&source).await, Ok(()));
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed_in_time() {
    let config = GrpcSource {
        connections: ConnectionLimits {
            handshake: Duration::from_millis(100).into(),
            idle: Duration::from_millis(100).into(),
            ..ConnectionLimits::default()
        },
        ..guarded()
    };
    let source = serve(&config).await;
    let mut client = source.client().await;
    assert_eq!(push_over(&mut client).await, Ok(()));
    let mut silent = TcpStream::connect(source.address).await.unwrap();
    let mut stranger = Wire::open(source.address).await;
    let (answer, _) = stranger.call_as("Push", "not-the-token-at-all").await;
    assert_eq!(answer.await.unwrap().headers()["grpc-status"], "16");
    closed(&mut silent).await;
    // Told to go by GOAWAY, which is no error.
    let ended = tokio::time::timeout(Duration::from_secs(10), &mut stranger.connection).await;
    assert!(ended.expect("it is closed").unwrap().is_ok());
    source.counts("who=\"caller\"} 1").await;
    source.counts("who=\"stranger\"} 0").await;
    assert_eq!(push_over(&mut client).await, Ok(()), "a caller may wait");
}

#[tokio::test]
async fn callers_have_a_bound_and_one_address_a_part_of_it() {
    let config = GrpcSource {
        connections: ConnectionLimits {
            max: 4,
            ..ConnectionLimits::default()
        },
        ..guarded()
    };
    let source = serve(&config).await;
    let (mut one, mut two) = (source.client().await, source.client().await);
    assert_eq!(push_over(&mut one).await, Ok(()));
    assert_eq!(push_over(&mut two).await, Ok(()));
    // Those that do nothing make room; one that has a call open does not.
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(requests);
    let open = two.push_stream(by_chat(stream)).await.unwrap();
    assert_eq!(pushes(&source).await, Ok(()));
    let (other, requests) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(requests);
    drop(one);
    let mut three = source.client().await;
    let more = three.push_stream(by_chat(stream)).await.unwrap();
    assert_eq!(pushes(&source).await, Err(Code::Unavailable));
    drop((sender, open, other, more));
}
