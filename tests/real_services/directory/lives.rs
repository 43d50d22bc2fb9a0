//! A life ends with the data, the process, or the role; what goes by the old one is not done.

use linkgate_core::edges::directory::{DirectoryError, Operation};
use linkgate_filter::EdgeFailure;

use super::{SHARD, ann, assert_other_life, claim, find, life, open, open_at, run_one};
use crate::common::wait::until;
use crate::services::{Quiet, Redis};

#[tokio::test]
async fn all_nodes_read_one_life_and_it_lasts() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (one, other) = (open(&redis), open(&redis));
    let (first, second) = tokio::join!(life(&one, SHARD), life(&other, SHARD));
    assert_eq!(first, second);
    assert_eq!(life(&one, SHARD).await, first);
}

#[tokio::test]
async fn an_emptied_redis_begins_another_life() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let directory = open(&redis);
    let before = life(&directory, SHARD).await;
    run_one(&directory, SHARD, before, claim(ann(), 1))
        .await
        .unwrap();
    assert_eq!(redis.call("FLUSHALL").await.as_deref(), Some("+OK"));
    let after = life(&directory, SHARD).await;
    assert_ne!(before, after);
    assert_other_life(&directory, SHARD, before).await;
    assert!(find(&directory, after).await.claims.is_empty());
}

#[tokio::test]
async fn a_redis_that_was_started_anew_is_in_another_life() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let directory = open(&redis);
    let before = life(&directory, SHARD).await;
    run_one(&directory, SHARD, before, claim(ann(), 1))
        .await
        .unwrap();
    redis.stop();
    let Err(DirectoryError::Store(error)) =
        directory.run(SHARD, before, vec![claim(ann(), 2)]).await
    else {
        panic!("nobody answers");
    };
    assert_eq!(error.failure, EdgeFailure::Unreachable);
    redis.resume().await;
    // It is not even asked before its life has been read.
    assert_other_life(&directory, SHARD, before).await;
    let after = life(&directory, SHARD).await;
    assert_ne!(before, after);
    assert_other_life(&directory, SHARD, before).await;
    assert_eq!(
        find(&directory, after).await.claims.len(),
        1,
        "its data is on disk"
    );
}

#[tokio::test]
async fn after_a_silence_the_life_is_read_over_another_connection() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let way = Quiet::before(redis.address()).await;
    let directory = open_at(&format!("url: 'redis://{}'", way.address()));
    let before = life(&directory, SHARD).await;
    way.hush();
    let Err(DirectoryError::Store(error)) =
        directory.run(SHARD, before, vec![claim(ann(), 2)]).await
    else {
        panic!("it is silent");
    };
    assert_eq!(error.failure, EdgeFailure::TimedOut);
    assert_other_life(&directory, SHARD, before).await;
    assert_eq!(
        life(&directory, SHARD).await,
        before,
        "it is the same Redis"
    );
    run_one(&directory, SHARD, before, claim(ann(), 3))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_replica_has_no_life_and_a_primary_that_becomes_one_ends_its_own() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let other = Redis::start().await.unwrap();
    let directory = open(&redis);
    let before = life(&directory, SHARD).await;
    run_one(&directory, SHARD, before, claim(ann(), 1))
        .await
        .unwrap();
    let follow = format!("REPLICAOF 127.0.0.1 {}", other.address().port());
    assert_eq!(redis.call(&follow).await.as_deref(), Some("+OK"));
    let refused = run_one(&directory, SHARD, before, claim(ann(), 2)).await;
    let Err(DirectoryError::Store(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.failure, EdgeFailure::Unreachable);
    assert_other_life(&directory, SHARD, before).await;
    let replica = directory.life(SHARD).await;
    assert!(
        matches!(replica, Err(DirectoryError::Store(_))),
        "{replica:?}"
    );
    assert_eq!(redis.call("REPLICAOF NO ONE").await.as_deref(), Some("+OK"));
    let after = life(&directory, SHARD).await;
    assert_ne!(before, after);
    assert_other_life(&directory, SHARD, before).await;
}

#[tokio::test]
async fn a_master_that_a_sentinel_names_is_in_another_life() {
    let Some(mut master) = Redis::start().await else {
        return;
    };
    let port = master.address().port();
    let replica = Redis::start_with(&format!("--replicaof 127.0.0.1 {port}")).await;
    let (replica, sentinel) = (replica.unwrap(), master.sentinel().await);
    let directory = open_at(&format!(
        "sentinel: {{ urls: ['redis://{}'], master: main }}",
        sentinel.address()
    ));
    let before = life(&directory, SHARD).await;
    run_one(&directory, SHARD, before, claim(ann(), 1))
        .await
        .unwrap();
    // The user, and the value that is lost with the data.
    until("the replica has it", async || {
        replica.call("DBSIZE").await.as_deref() == Some(":2")
    })
    .await;
    until("the sentinel knows the replica", async || {
        let known = sentinel.call("SENTINEL REPLICAS main").await;
        known.as_deref() == Some("*1")
    })
    .await;
    master.stop();
    let gone = directory
        .run(SHARD, before, vec![Operation::Find(ann())])
        .await;
    assert!(gone.is_err(), "{gone:?}");
    let after = life(&directory, SHARD).await;
    assert_ne!(before, after);
    assert_other_life(&directory, SHARD, before).await;
    assert_eq!(find(&directory, after).await.claims.len(), 1);
}
