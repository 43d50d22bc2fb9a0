//! An etcd that goes away, and one that loses its leader.

use linkgate_proto::v1::receiver_outcome::Status;

use super::stream::Stream;
use super::users::{Users, names};
use super::world::{LEASE, Member, World, all_is_well, eventually, push_ends};
use crate::common::push::{push, read};
use crate::services::Redis;

async fn lives(nodes: &[Member]) -> Vec<Option<String>> {
    let mut lives = Vec::new();
    for node in nodes {
        lives.push(node.life_of(node.id).await);
    }
    lives
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_away_for_longer_than_the_lease_ends_no_life_and_hides_nobody() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let nodes = world.three().await;
    let before = lives(&nodes).await;
    let mut users = Users::default();
    let mut there = Vec::new();
    for (node, prefix) in nodes.iter().zip(["ann", "bob", "cat"]) {
        let names = names(prefix, 20);
        users.log_in(node, &names).await;
        there.extend(names);
    }
    let callers: Vec<_> = nodes.iter().map(Member::caller).collect();
    let stream = Stream::start("s", &callers, &there);
    stream.goes_on(500).await;

    world.etcd[0].stop();
    let since = tokio::time::Instant::now();
    for node in &nodes {
        eventually("the node notices", async || {
            let silent = node
                .metrics()
                .await
                .sum("linkgate_cluster_registry_silent", &[]);
            (silent == 1).then_some(()).ok_or("not yet".to_owned())
        })
        .await;
    }
    // While it is away: logins go on, who is there is reached, and nobody is said to be offline.
    let late = names("dan", 20);
    users.log_in(&nodes[1], &late).await;
    let second = Stream::start("t", &callers[..1], &late);
    eventually("the lease has run out long ago", async || {
        let outcome = callers[0].push_one(push("nobody", &["eve"])).await;
        let reason = outcome.reason.clone().unwrap_or_default();
        assert!(
            outcome.status() == Status::Rejected && reason.retryable,
            "{outcome:?}"
        );
        second.goes_on(50).await;
        (since.elapsed() > LEASE * 3)
            .then_some(())
            .ok_or(reason.code)
    })
    .await;

    world.etcd[0].resume().await;
    all_is_well(&nodes, 3).await;
    assert_eq!(lives(&nodes).await, before);
    push_ends(&callers[0], "eve", Status::Offline).await;
    second.reconcile(&users).await;
    stream.reaches(5_000).await;
    stream.reconcile(&users).await;
    for node in &nodes {
        assert_eq!(node.changes("ended").await, 0, "nobody was given up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_etcd_is_killed_and_no_life_ends() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let store = format!("url: 'redis://{}'", redis.address());
    let Some(mut world) = World::new(3, &store).await else {
        return;
    };
    let nodes = world.three().await;
    let before = lives(&nodes).await;
    let mut users = Users::default();
    let mut there = Vec::new();
    for (node, prefix) in nodes.iter().zip(["ann", "bob", "cat"]) {
        let names = names(prefix, 20);
        users.log_in(node, &names).await;
        there.extend(names);
    }
    let callers: Vec<_> = nodes.iter().map(Member::caller).collect();
    let stream = Stream::start("s", &callers, &there);
    stream.goes_on(500).await;
    for _ in 0..2 {
        let mut leader = None;
        for (number, member) in world.etcd.iter().enumerate() {
            if member.leads().await {
                leader = Some(number);
            }
        }
        let leader = &mut world.etcd[leader.expect("one leads")];
        leader.stop();
        let outcome = callers[0].push_one(push("nobody", &["eve"])).await;
        assert_ne!(read(&outcome).0, Status::Delivered);
        // The other two choose a leader, which grants all leases anew.
        push_ends(&callers[1], "eve", Status::Offline).await;
        stream.goes_on(500).await;
        leader.resume().await;
        all_is_well(&nodes, 3).await;
    }
    stream.reaches(5_000).await;
    stream.reconcile(&users).await;
    assert_eq!(lives(&nodes).await, before);
    for node in &nodes {
        assert_eq!(node.changes("ended").await, 0, "nobody was given up");
    }
}
