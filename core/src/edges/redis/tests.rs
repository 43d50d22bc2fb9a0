use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::secret::Secret;

fn store(url: &str) -> Result<RedisStore, String> {
    let config = format!("{{ url: '{url}', timeout: 500ms }}");
    RedisStore::new(
        "main",
        &serde_yaml::from_str::<RedisConfig>(&config).unwrap(),
    )
}

fn ann() -> Identity {
    Identity::new("chat", "ann")
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_unreachable() {
    // Nobody listens on port 1.
    let store = store("redis://127.0.0.1:1").unwrap();
    let inserted = store.insert(&ann(), "k".into(), "v".into(), Duration::from_secs(1));
    let error = inserted.await.unwrap_err();
    assert_eq!(error.failure, EdgeFailure::Unreachable);
}

#[test]
fn no_password_shows_in_what_is_wrong_with_a_url() {
    let url = "redis://user:hunter2@host:no-port";
    let error = store(url).map(|_| ()).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(!format!("{:?}", Secret::new(url)).contains("hunter2"));
}

/// Says nothing to the first connection until it is told to.
async fn slow_to_greet(listener: TcpListener, greet: oneshot::Receiver<()>) -> usize {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut read = [0; 4096];
    let _ = socket.read(&mut read).await.unwrap();
    greet.await.unwrap();
    // One answer for each `CLIENT SETINFO`.
    socket.write_all(b"+OK\r\n+OK\r\n").await.unwrap();
    let _ = socket.read(&mut read).await.unwrap();
    socket.write_all(b"$-1\r\n").await.unwrap();
    let others = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    1 + usize::from(others.is_ok())
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_an_operation_serves_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (greet, greeted) = oneshot::channel();
    let server = tokio::spawn(slow_to_greet(listener, greeted));
    let store = store(&format!("redis://127.0.0.1:{port}")).unwrap();
    let insert = || store.insert(&ann(), "k".into(), "v".into(), Duration::from_secs(1));
    let error = insert().await.unwrap_err();
    assert_eq!(error.failure, EdgeFailure::TimedOut);
    greet.send(()).unwrap();
    insert().await.unwrap();
    assert_eq!(server.await.unwrap(), 1, "connections");
}
