//! The same operations, done by Redis and by its twin in memory.

use std::sync::Arc;
use std::time::Duration;

use linkgate_core::clock::SystemClock;
use linkgate_core::edges::directory::memory::MemoryDirectory;
use linkgate_core::edges::directory::{
    ClaimId, ClaimOf, Directory, DirectoryError, END_OF_NUMBERS, Incarnation, Operation, User,
};
use linkgate_filter::EdgeFailure;

use super::{KEEP, SHARD, ann, claim, find, id, life, open, run_one};
use crate::common::wait::until;
use crate::services::Redis;

fn twin() -> Arc<dyn Directory> {
    Arc::new(MemoryDirectory::new(Arc::new(SystemClock), 10_000))
}

struct Chance(fastrand::Rng);

impl Chance {
    fn user(&mut self) -> User {
        let users = [("chat", "ann"), ("a:b", "{c}%"), ("a", "b:{c}%")];
        let (biz, user) = users[self.0.usize(..users.len())];
        (biz.into(), user.into())
    }

    fn id(&mut self) -> ClaimId {
        let registry = [1, u64::MAX - 1, u64::MAX][self.0.usize(..3)];
        // As text, the greater one is the lesser.
        let revision = [9, 10, END_OF_NUMBERS - 1][self.0.usize(..3)];
        ClaimId {
            incarnation: Incarnation { registry, revision },
            link: self.0.u64(8..11),
        }
    }

    fn claim(&mut self) -> ClaimOf {
        let devices = [None, Some(""), Some("desk"), Some("my phone ü\n%1")];
        ClaimOf {
            user: self.user(),
            id: self.id(),
            device: devices[self.0.usize(..devices.len())].map(Arc::from),
            epoch: self.0.bool().then(|| self.0.u64(..40)),
            raise: [1, 1, 10][self.0.usize(..3)],
            most: self.0.u32(..4),
            keep: KEEP,
        }
    }

    fn operation(&mut self) -> Operation {
        match self.0.u8(..10) {
            0 => Operation::Release(self.user(), self.id()),
            1 => Operation::Park(self.user(), self.id()),
            2 => {
                let ids = (0..self.0.usize(..4)).map(|_| self.id()).collect();
                Operation::Confirm(self.user(), ids)
            }
            3 | 4 => Operation::Find(self.user()),
            _ => Operation::Claim(self.claim()),
        }
    }
}

#[tokio::test]
async fn redis_answers_as_its_twin_in_memory_does() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    for seed in 0..60 {
        let mut chance = Chance(fastrand::Rng::with_seed(seed));
        assert_eq!(redis.call("FLUSHALL").await.as_deref(), Some("+OK"));
        let (real, twin) = (open(&redis), twin());
        let lives = (life(&real, SHARD).await, life(&twin, SHARD).await);
        for batch in 0..20 {
            let operations: Vec<_> = (0..12).map(|_| chance.operation()).collect();
            let answers = real.run(SHARD, lives.0, operations.clone()).await.unwrap();
            let expected = twin.run(SHARD, lives.1, operations.clone()).await.unwrap();
            for (place, operation) in operations.iter().enumerate() {
                let (answer, expected) = (&answers[place], &expected[place]);
                assert_eq!(
                    answer, expected,
                    "seed {seed}, batch {batch}: {operation:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn redis_bounds_what_one_user_may_fill_as_its_twin_does() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (real, twin) = (open(&redis), twin());
    let lives = (life(&real, SHARD).await, life(&twin, SHARD).await);
    let claims = (0..1100).map(|link| {
        let Operation::Claim(of) = claim(ann(), link) else {
            unreachable!()
        };
        let device = Some(format!("device {}", link % 700).into());
        Operation::Claim(ClaimOf {
            device,
            most: 2,
            ..of
        })
    });
    let claims: Vec<_> = claims.collect();
    for claims in claims.chunks(10) {
        let answers = real.run(SHARD, lives.0, claims.to_vec()).await.unwrap();
        let expected = twin.run(SHARD, lives.1, claims.to_vec()).await.unwrap();
        assert_eq!(answers.last(), expected.last());
    }
    let found = find(&real, lives.0).await;
    assert_eq!((found.claims.len(), found.displaced.len()), (1024, 64));
}

#[tokio::test]
async fn operations_of_one_run_are_done_in_their_order_whether_scripts_are_known_or_not() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let directory = open(&redis);
    let life = life(&directory, SHARD).await;
    for _ in 0..2 {
        let operations = vec![
            Operation::Find(ann()),
            claim(ann(), 1),
            Operation::Find(ann()),
            Operation::Park(ann(), id(1)),
            claim(ann(), 2),
            Operation::Confirm(ann(), vec![id(1)]),
            Operation::Find(ann()),
            Operation::Release(ann(), id(2)),
            Operation::Find(ann()),
        ];
        let answers = directory.run(SHARD, life, operations).await.unwrap();
        let counts: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().unwrap())
            .map(|record| (record.claims.len(), record.displaced.len()))
            .collect();
        let expected = [
            (0, 0),
            (1, 0),
            (1, 0),
            (0, 0),
            (1, 1),
            (0, 0),
            (1, 0),
            (0, 0),
            (0, 0),
        ];
        assert_eq!(counts, expected);
        let flushed = redis.call("SCRIPT FLUSH").await;
        assert_eq!(flushed.as_deref(), Some("+OK"));
    }
    // The user's epoch stays, for as long as the user is kept.
    assert_eq!(find(&directory, life).await.epoch, 4);
    let ends = redis.call("PTTL linkgate:user:chat:ann").await.unwrap();
    let ends: u64 = ends.trim_start_matches(':').parse().unwrap();
    assert!(Duration::from_millis(ends) <= KEEP && ends > 0);
}

#[tokio::test]
async fn a_user_is_forgotten_when_the_time_is_over() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let directory = open(&redis);
    let life = life(&directory, SHARD).await;
    let Operation::Claim(of) = claim(ann(), 1) else {
        unreachable!()
    };
    let short = ClaimOf {
        keep: Duration::from_millis(1),
        ..of
    };
    run_one(&directory, SHARD, life, Operation::Claim(short))
        .await
        .unwrap();
    until("the user is forgotten", async || {
        find(&directory, life).await.epoch == 0
    })
    .await;
}

#[tokio::test]
async fn what_a_newer_version_has_written_is_suspect_and_left_alone() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let directory = open(&redis);
    let life = life(&directory, SHARD).await;
    let theirs = "feed000000000001-12";
    for set in [
        format!("HSET linkgate:user:chat:ann c{theirs}-1 \"2 7 o phone\""),
        format!("HSET linkgate:user:chat:ann d{theirs}-2 \"2 7 o phone\""),
        format!("HSET linkgate:user:chat:ann x{theirs}-3 \"1 7 o phone\""),
    ] {
        assert_eq!(redis.call(&set).await.as_deref(), Some(":1"));
    }
    for operation in [
        claim(ann(), 1),
        claim(ann(), 2),
        Operation::Park(ann(), id(1)),
        Operation::Release(ann(), id(1)),
        Operation::Release(ann(), id(2)),
        Operation::Confirm(ann(), vec![id(2)]),
    ] {
        run_one(&directory, SHARD, life, operation).await.unwrap();
        let found = find(&directory, life).await;
        assert!(found.is_partial && found.claims.is_empty() && found.displaced.is_empty());
    }
    let claimed = run_one(&directory, SHARD, life, claim(ann(), 4))
        .await
        .unwrap();
    assert!(
        claimed.is_partial && claimed.claims.len() == 1,
        "{claimed:?}"
    );
    // Three of theirs, one of ours, and the epoch.
    let fields = redis.call("HLEN linkgate:user:chat:ann").await;
    assert_eq!(fields.as_deref(), Some(":5"));

    // What cannot be done for one user does not stop the others.
    let broken = redis.call("HSET linkgate:user:chat:bob e many").await;
    assert_eq!(broken.as_deref(), Some(":1"));
    let operations = vec![claim(super::user("bob"), 5), claim(ann(), 6)];
    let answers = directory.run(SHARD, life, operations).await.unwrap();
    let [Err(DirectoryError::Store(error)), Ok(record)] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(error.failure, EdgeFailure::Refused);
    assert_eq!(record.displaced.len(), 1);
}
