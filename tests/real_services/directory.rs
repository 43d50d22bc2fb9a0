//! The directory on a real Redis: it does what its twin in memory does, and nothing in a life that was not read.

mod cluster;
mod lives;
mod twin;

use std::sync::Arc;
use std::time::Duration;

use linkgate_core::clock::SystemClock;
use linkgate_core::edges::config::StoreConfig;
use linkgate_core::edges::directory::{
    Answer, ClaimId, ClaimOf, Directory, DirectoryError, Incarnation, Life, Operation, Record,
    Shard, User,
};
use linkgate_core::edges::{AsConfigured, Opener};
use linkgate_filter::Clock;

use crate::common::wait::until;
use crate::services::Redis;

const KEEP: Duration = Duration::from_secs(60);
const SHARD: Shard = Shard(0);

fn open(redis: &Redis) -> Arc<dyn Directory> {
    open_at(&format!("url: 'redis://{}'", redis.address()))
}

fn open_at(place: &str) -> Arc<dyn Directory> {
    let yaml = format!("{{ redis: {{ {place}, timeout: 1s }} }}");
    let config: StoreConfig = serde_yaml::from_str(&yaml).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    AsConfigured::new(&clock)
        .directory("main", &config)
        .unwrap()
}

fn user(user: &str) -> User {
    ("chat".into(), user.into())
}

fn ann() -> User {
    user("ann")
}

fn id(link: u64) -> ClaimId {
    let incarnation = Incarnation {
        registry: 0xfeed_0000_0000_0001,
        revision: 12,
    };
    ClaimId { incarnation, link }
}

fn claim(user: User, link: u64) -> Operation {
    Operation::Claim(ClaimOf {
        user,
        id: id(link),
        device: Some("phone".into()),
        epoch: None,
        raise: 1,
        most: 1,
        keep: KEEP,
    })
}

/// The life, once it can be read.
async fn life(directory: &Arc<dyn Directory>, shard: Shard) -> Life {
    let mut life = None;
    until("the life can be read", async || {
        life = directory.life(shard).await.ok();
        life.is_some()
    })
    .await;
    life.unwrap()
}

async fn run_one(
    directory: &Arc<dyn Directory>,
    shard: Shard,
    life: Life,
    operation: Operation,
) -> Answer {
    let answers = directory.run(shard, life, vec![operation]).await?;
    answers.into_iter().next().unwrap()
}

async fn find(directory: &Arc<dyn Directory>, life: Life) -> Record {
    let found = run_one(directory, SHARD, life, Operation::Find(ann())).await;
    found.unwrap()
}

async fn assert_other_life(directory: &Arc<dyn Directory>, shard: Shard, life: Life) {
    let refused = directory.run(shard, life, vec![claim(ann(), 99)]).await;
    assert_eq!(refused, Err(DirectoryError::OtherLife));
}
