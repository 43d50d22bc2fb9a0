use linkgate_filter::testkit::virtual_clock;

use super::*;
use crate::edges::directory::{
    Claim, ClaimId, ClaimState, END_OF_NUMBERS, Incarnation, MOST_CLAIMS, MOST_DISPLACED,
};

const KEEP: Duration = Duration::from_secs(60);
const SHARD: Shard = Shard(0);

fn directory() -> MemoryDirectory {
    MemoryDirectory::new(virtual_clock(), 100)
}

fn user(user: &str) -> User {
    ("chat".into(), user.into())
}

fn id(link: u64) -> ClaimId {
    let incarnation = Incarnation {
        registry: u64::MAX,
        revision: 7,
    };
    ClaimId { incarnation, link }
}

fn claim(link: u64, device: &str, epoch: Option<u64>) -> ClaimOf {
    ClaimOf {
        user: user("ann"),
        id: id(link),
        device: Some(device.into()),
        epoch,
        raise: 1,
        most: 1,
        keep: KEEP,
    }
}

async fn run(directory: &MemoryDirectory, operation: Operation) -> Answer {
    let life = directory.life(SHARD).await?;
    let answers = directory.run(SHARD, life, vec![operation]).await?;
    answers.into_iter().next().unwrap()
}

async fn stands(directory: &MemoryDirectory, operation: Operation) -> (Vec<u64>, Vec<u64>) {
    let record = run(directory, operation).await.unwrap();
    let links = |claims: &[Claim]| claims.iter().map(|claim| claim.id.link).collect();
    (links(&record.claims), links(&record.displaced))
}

fn find() -> Operation {
    Operation::Find(user("ann"))
}

#[tokio::test(start_paused = true)]
async fn the_newest_claim_of_a_device_displaces_the_older_ones_until_they_are_confirmed() {
    let directory = directory();
    let claims = |claim| stands(&directory, Operation::Claim(claim));
    assert_eq!(claims(claim(1, "phone", None)).await, (vec![1], vec![]));
    assert_eq!(claims(claim(2, "desk", None)).await, (vec![1, 2], vec![]));
    assert_eq!(claims(claim(3, "phone", None)).await, (vec![2, 3], vec![1]));
    // An assertion does not bring it back, nor does a call that comes again.
    assert_eq!(
        claims(claim(1, "phone", Some(1))).await,
        (vec![2, 3], vec![1])
    );
    assert_eq!(claims(claim(1, "phone", None)).await, (vec![2, 3], vec![1]));
    let confirm = Operation::Confirm(user("ann"), vec![id(1), id(9)]);
    run(&directory, confirm).await.unwrap();
    assert_eq!(stands(&directory, find()).await, (vec![2, 3], vec![]));
    // What is lower in order is displaced by what stands.
    assert_eq!(
        claims(claim(1, "phone", Some(1))).await,
        (vec![2, 3], vec![1])
    );
    let release = |link| Operation::Release(user("ann"), id(link));
    run(&directory, release(1)).await.unwrap();
    run(&directory, release(3)).await.unwrap();
    assert_eq!(stands(&directory, find()).await, (vec![2], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_epoch_never_falls_while_the_user_is_kept() {
    let directory = directory();
    let claims = |claim| run(&directory, Operation::Claim(claim));
    let lost = ClaimOf {
        raise: 1000,
        ..claim(1, "phone", None)
    };
    assert_eq!(claims(lost).await.unwrap().epoch, 1000);
    let asserted = claims(claim(1, "phone", Some(5))).await.unwrap();
    assert_eq!((asserted.epoch, asserted.claims[0].epoch), (1000, 1000));
    run(&directory, Operation::Release(user("ann"), id(1)))
        .await
        .unwrap();
    assert_eq!(claims(claim(2, "phone", None)).await.unwrap().epoch, 1001);
    tokio::time::advance(KEEP - Duration::from_millis(1)).await;
    assert_eq!(run(&directory, find()).await.unwrap().epoch, 1001);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(run(&directory, find()).await.unwrap(), Record::default());
    assert_eq!(directory.users(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_parked_counts_until_another_one_takes_its_place() {
    let directory = directory();
    run(&directory, Operation::Claim(claim(1, "phone", None)))
        .await
        .unwrap();
    run(&directory, Operation::Park(user("ann"), id(1)))
        .await
        .unwrap();
    let record = run(&directory, find()).await.unwrap();
    assert_eq!(record.claims[0].state, ClaimState::Resumable);
    let resumed = run(&directory, Operation::Claim(claim(1, "phone", Some(1)))).await;
    assert_eq!(resumed.unwrap().claims[0].state, ClaimState::Online);
}

#[tokio::test(start_paused = true)]
async fn what_one_user_may_fill_is_bounded() {
    let directory = directory();
    let many = |link| ClaimOf {
        most: u32::MAX,
        ..claim(link, "phone", None)
    };
    let most = (MOST_CLAIMS + MOST_DISPLACED + 5) as u64;
    for link in 1..=most {
        run(&directory, Operation::Claim(many(link))).await.unwrap();
    }
    let (claims, displaced) = stands(&directory, find()).await;
    assert_eq!(
        (claims.len(), displaced.len()),
        (MOST_CLAIMS, MOST_DISPLACED)
    );
    assert_eq!((claims[0], displaced[0]), (MOST_DISPLACED as u64 + 6, 6));
}

#[tokio::test(start_paused = true)]
async fn users_are_bounded_and_numbers_too() {
    let directory = MemoryDirectory::new(virtual_clock(), 1);
    let full = |result: Answer| match result {
        Err(DirectoryError::Store(error)) => error.failure,
        other => panic!("{other:?}"),
    };
    run(&directory, Operation::Claim(claim(1, "phone", None)))
        .await
        .unwrap();
    let other = ClaimOf {
        user: user("bob"),
        ..claim(2, "phone", None)
    };
    let refused = run(&directory, Operation::Claim(other)).await;
    assert_eq!(full(refused), EdgeFailure::Full);
    for claim in [
        claim(END_OF_NUMBERS, "phone", None),
        claim(1, "phone", Some(END_OF_NUMBERS)),
    ] {
        let refused = run(&directory, Operation::Claim(claim)).await;
        assert_eq!(full(refused), EdgeFailure::Refused);
    }
    let last = claim(1, "phone", Some(END_OF_NUMBERS - 1));
    run(&directory, Operation::Claim(last)).await.unwrap();
    let beyond = run(&directory, Operation::Claim(claim(1, "phone", None))).await;
    assert_eq!(full(beyond), EdgeFailure::Refused);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_in_a_life_that_was_not_read() {
    let one = directory();
    let other = one.of_another_node();
    let life = one.life(SHARD).await.unwrap();
    let run = |directory: &MemoryDirectory, life| directory.run(SHARD, life, vec![find()]);
    assert_eq!(run(&other, life).await, Err(DirectoryError::OtherLife));
    let claimed = Operation::Claim(claim(1, "phone", None));
    one.run(SHARD, life, vec![claimed]).await.unwrap();
    let before = one.snapshot(SHARD);

    // A loss shows when the life is read.
    one.empty(SHARD);
    let answers = run(&one, life).await.unwrap();
    assert_eq!(answers, [Ok(Record::default())]);
    let next = one.life(SHARD).await.unwrap();
    assert_ne!(next, life);
    assert_eq!(run(&one, life).await, Err(DirectoryError::OtherLife));
    run(&one, next).await.unwrap();

    // A failover breaks the connections.
    one.fail_over(SHARD, before);
    assert_eq!(run(&one, next).await, Err(DirectoryError::OtherLife));
    let last = one.life(SHARD).await.unwrap();
    let answers = run(&one, last).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().claims.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_are_of_one_way_and_break_it() {
    let one = directory();
    let other = one.of_another_node();
    for (fault, is_done, is_late) in [
        (Fault::Unreachable, false, false),
        (Fault::Unheard, false, true),
        (Fault::Unanswered, true, true),
    ] {
        let begun = tokio::time::Instant::now();
        let life = one.life(SHARD).await.unwrap();
        one.set_fault(fault);
        let claimed = one.run(SHARD, life, vec![Operation::Claim(claim(1, "phone", None))]);
        assert!(matches!(claimed.await, Err(DirectoryError::Store(_))));
        assert_eq!(begun.elapsed() == MemoryDirectory::TIMEOUT, is_late);
        let again = one.run(SHARD, life, vec![find()]).await;
        assert_eq!(again, Err(DirectoryError::OtherLife), "{fault:?}");
        assert!(one.life(SHARD).await.is_err());
        assert_eq!(stands(&other, find()).await.0.len(), usize::from(is_done));
        one.set_fault(Fault::None);
    }
}

#[tokio::test(start_paused = true)]
async fn users_that_are_spread_anew_are_looked_for_elsewhere() {
    let directory = directory();
    let life = directory.life(SHARD).await.unwrap();
    let mut topology = directory.topology();
    topology.mark_unchanged();
    directory.spread(8);
    assert!(topology.has_changed().unwrap());
    let spread = topology.borrow_and_update().clone().unwrap();
    assert_eq!(spread.shards(), 8);
    let run = |shard, life| directory.run(shard, life, vec![find()]);
    assert_eq!(run(SHARD, life).await, Err(DirectoryError::OtherLife));
    for shard in (0..8).map(Shard) {
        let life = directory.life(shard).await.unwrap();
        let answers = run(shard, life).await.unwrap();
        let is_there = shard == spread.shard(&user("ann"));
        assert_eq!(answers[0].is_ok(), is_there, "{answers:?}");
    }
    assert_eq!(directory.life(Shard(8)).await, Err(DirectoryError::Moved));
}
