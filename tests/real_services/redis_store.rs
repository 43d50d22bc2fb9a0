//! A store on a real Redis, as filters see it.

mod kinds;
mod words;

use std::sync::Arc;
use std::time::Duration;

use linkgate_core::clock::SystemClock;
use linkgate_core::edges::{AsConfigured, Opener, config::StoreConfig};
use linkgate_filter::store::Store;
use linkgate_filter::{Clock, EdgeFailure, Identity};

use crate::common::wait::until;
use crate::services::{Quiet, Redis};

const KEEP: Duration = Duration::from_secs(60);

fn open(redis: &Redis) -> Arc<dyn Store> {
    open_at(&format!("url: 'redis://{}'", redis.address()))
}

fn open_at(place: &str) -> Arc<dyn Store> {
    let yaml = format!("{{ redis: {{ {place}, timeout: 1s }} }}");
    let config: StoreConfig = serde_yaml::from_str(&yaml).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    AsConfigured::new(&clock).store("main", &config).unwrap()
}

fn ann() -> Identity {
    Identity::new("chat", "ann")
}

async fn insert(store: &Arc<dyn Store>, key: &str, value: &'static str) -> Option<String> {
    let found = store
        .insert(&ann(), key.to_owned(), value.into(), KEEP)
        .await
        .unwrap();
    found.map(|found| String::from_utf8(found.to_vec()).unwrap())
}

#[tokio::test]
async fn each_operation_is_one_step() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (one, other) = (open(&redis), open(&redis));
    assert_eq!(insert(&one, "k", "one").await, None);
    assert_eq!(insert(&other, "k", "two").await.as_deref(), Some("one"));
    let replace = |expected: &'static str, value: &'static str, keep| {
        other.replace("k".into(), expected.into(), value.into(), keep)
    };
    assert!(!replace("two", "three", KEEP).await.unwrap());
    assert!(replace("one", "two", KEEP).await.unwrap());
    assert!(!one.remove("k".into(), "one".into()).await.unwrap());
    assert!(one.remove("k".into(), "two".into()).await.unwrap());
    assert!(!one.remove("k".into(), "two".into()).await.unwrap());

    assert_eq!(insert(&one, "k", "short").await, None);
    assert!(
        replace("short", "shorter", Duration::from_millis(1))
            .await
            .unwrap()
    );
    until("the key ends by itself", async || {
        insert(&one, "k", "next").await.is_none()
    })
    .await;

    let many = (0..1000).map(|number| insert(&one, if number % 2 == 0 { "a" } else { "b" }, "x"));
    let found = futures_util::future::join_all(many).await;
    assert_eq!(found.iter().filter(|found| found.is_none()).count(), 2);
}

#[tokio::test]
async fn a_redis_that_was_away_is_found_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let store = open(&redis);
    insert(&store, "k", "v").await;
    redis.stop();
    let away = store
        .insert(&ann(), "k".into(), "w".into(), KEEP)
        .await
        .unwrap_err();
    assert_eq!(away.failure, EdgeFailure::Unreachable);
    redis.resume().await;
    until("the store answers again", async || {
        let found = store.insert(&ann(), "k".into(), "w".into(), KEEP).await;
        found.is_ok_and(|found| found.as_deref() == Some(b"v"))
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_went_dead_in_silence_is_replaced() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let way = Quiet::before(redis.address()).await;
    let store = open_at(&format!("url: 'redis://{}'", way.address()));
    insert(&store, "k", "v").await;
    way.hush();
    let silent = store
        .insert(&ann(), "k".into(), "w".into(), KEEP)
        .await
        .unwrap_err();
    assert_eq!(silent.failure, EdgeFailure::TimedOut);
    assert_eq!(insert(&store, "k", "w").await.as_deref(), Some("v"));
}
