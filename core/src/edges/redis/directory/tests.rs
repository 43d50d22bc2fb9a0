use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::telemetry::captured::Captured;

/// Answers each read in turn, on one connection after the other.
async fn answer(listener: TcpListener, connections: Vec<Vec<String>>) {
    for answers in connections {
        let (mut socket, _) = listener.accept().await.unwrap();
        for answer in answers {
            let mut read = [0; 4096];
            assert_ne!(socket.read(&mut read).await.unwrap(), 0);
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

fn text(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn greeting() -> String {
    "+OK\r\n+OK\r\n".to_owned()
}

fn state(role: &str, run: &str) -> String {
    let info =
        format!("# Server\r\nrun_id:{run}\r\n# Replication\r\nrole:{role}\r\nmaster_replid:1\r\n");
    text(&info) + &text("nonce")
}

#[tokio::test]
async fn whoever_may_evict_users_is_told_so_once() {
    let log = Captured::begin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!("{{ url: 'redis://{}' }}", listener.local_addr().unwrap());
    let config: RedisConfig = serde_yaml::from_str(&config).unwrap();
    let evicts = text("# Memory\r\nmaxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n");
    let server = tokio::spawn(answer(
        listener,
        vec![
            vec![
                greeting(),
                state("master", "a"),
                evicts,
                state("slave", "a"),
            ],
            vec![greeting(), state("master", "b")],
        ],
    ));
    let directory = RedisDirectory::new("main", &config).unwrap();
    let life = || directory.life(Shard(0));
    let first = life().await.unwrap();
    let Err(DirectoryError::Store(error)) = life().await else {
        panic!("a replica has no life");
    };
    assert_eq!(error.failure, EdgeFailure::Unreachable);
    let run = directory.run(Shard(0), first, Vec::new()).await;
    assert_eq!(run, Err(DirectoryError::OtherLife));
    assert_ne!(life().await.unwrap(), first, "another process");
    server.await.unwrap();
    let lines = log.lines("maxmemory-policy");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("noeviction"), "{lines:?}");
}
