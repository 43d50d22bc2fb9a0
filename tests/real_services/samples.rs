//! The samples of `examples/configs` that need a service, at work on a real one.

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::services::Redis;

/// Starts the sample of this name at addresses that are free, with these in place of others.
async fn start(name: &str, places: &[(&str, String)]) -> Gateway {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/");
    let text = std::fs::read_to_string(format!("{folder}{name}.yaml")).unwrap();
    let free = ["8080", "9901", "9902"]
        .map(|port| (format!("127.0.0.1:{port}"), "127.0.0.1:0".to_owned()));
    let text = free
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to));
    let text = places
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to));
    Gateway::start(&text).await
}

#[tokio::test]
async fn dedup_redis_answers_a_retry_from_the_record() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let backend = Backend::start().await;
    let places = [
        ("127.0.0.1:50051", backend.address().to_string()),
        ("127.0.0.1:6379", redis.address().to_string()),
    ];
    let (one, other) = (
        start("dedup_redis", &places).await,
        start("dedup_redis", &places).await,
    );
    let mut ann = Client::connect(&one.target("ann")).await;
    assert_eq!(ann.ask("k", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(ann.ask("k", "hi").await, Answer::Ack("hi".into()));
    let mut again = Client::connect(&other.target("ann")).await;
    assert_eq!(again.ask("k", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(backend.calls_of("k").len(), 1);
    assert_eq!(ann.ask("typing:1", "").await, Answer::Ack("".into()));
    assert_eq!(ann.ask("typing:1", "").await, Answer::Ack("".into()));
    assert_eq!(backend.calls_of("typing:1").len(), 2);
}
