//! A Redis that forgets, goes away, or is followed by another one: nobody is offline who is there.

use linkgate_proto::v1::receiver_outcome::Status;

use super::stream::Stream;
use super::users::{Users, names};
use super::world::{Member, World, all_is_well, eventually, push_ends};
use crate::common::push::Caller;
use crate::common::wait::until;
use crate::services::{Redis, redis_cluster};

/// Three nodes, users on each, and pushes by each to all.
struct Scene {
    nodes: [Member; 3],
    users: Users,
    stream: Stream,
}

impl Scene {
    async fn begin(world: &mut World) -> Self {
        let nodes = world.three().await;
        let mut users = Users::default();
        let mut there = Vec::new();
        for (node, prefix) in nodes.iter().zip(["ann", "bob", "cat"]) {
            let names = names(prefix, 50);
            users.log_in(node, &names).await;
            there.extend(names);
        }
        let callers: Vec<Caller> = nodes.iter().map(Member::caller).collect();
        let stream = Stream::start("s", &callers, &there);
        stream.goes_on(500).await;
        Self {
            nodes,
            users,
            stream,
        }
    }

    /// Waits until all nodes have entered all of their links in as many lives of shards as this.
    async fn has_asserted(&self, lives: u64) {
        for node in &self.nodes {
            eventually("all links stand again", async || {
                let asserted = node.changes("asserted").await;
                (asserted >= lives)
                    .then_some(())
                    .ok_or_else(|| format!("{asserted} of {lives}"))
            })
            .await;
        }
        all_is_well(&self.nodes, 3).await;
        // Whoever is nowhere is offline for certain again.
        push_ends(&self.nodes[0].caller(), "eve", Status::Offline).await;
    }

    async fn end(self, pushes: usize) {
        self.stream.reaches(pushes).await;
        self.stream.reconcile(&self.users).await;
        for node in &self.nodes {
            let (code, said) = node.locate("ann0").await;
            assert_eq!(code, 0, "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_hides_nobody() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let scene = Scene::begin(&mut world).await;
    for round in 1..=3 {
        assert_eq!(redis.call("FLUSHALL").await.as_deref(), Some("+OK"));
        scene.stream.goes_on(300).await;
        scene.has_asserted(1 + round).await;
    }
    scene.end(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_away_and_comes_back_empty_hides_nobody() {
    // It keeps nothing.
    let Some(mut redis) = Redis::start_with("--appendonly no").await else {
        return;
    };
    let Some(mut world) = World::on(&redis).await else {
        return;
    };
    let mut scene = Scene::begin(&mut world).await;
    redis.stop();
    // Users log in meanwhile, and are not offline either.
    let late = names("dan", 10);
    scene.users.log_in(&scene.nodes[1], &late).await;
    let second = Stream::start("t", &[scene.nodes[0].caller()], &late);
    redis.resume().await;
    assert_eq!(redis.call("EXISTS nothing").await.as_deref(), Some(":0"));
    scene.has_asserted(2).await;
    second.goes_on(50).await;
    second.reconcile(&scene.users).await;
    scene.end(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_a_sentinel_hides_nobody() {
    let Some(mut master) = Redis::start().await else {
        return;
    };
    let port = master.address().port();
    let replica = Redis::start_with(&format!("--replicaof 127.0.0.1 {port}")).await;
    let (replica, sentinel) = (replica.unwrap(), master.sentinel().await);
    let store = format!(
        "sentinel: {{ urls: ['redis://{}'], master: main }}",
        sentinel.address()
    );
    let Some(mut world) = World::new(1, &store).await else {
        return;
    };
    let scene = Scene::begin(&mut world).await;
    until("the sentinel knows the replica", async || {
        let known = sentinel.call("SENTINEL REPLICAS main").await;
        known.as_deref() == Some("*1")
    })
    .await;
    master.stop();
    until("the replica has taken over", async || {
        let said = replica.answer("INFO replication").await;
        said.is_some_and(|said| said.contains("role:master"))
    })
    .await;
    scene.has_asserted(2).await;
    scene.end(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_a_redis_cluster_hides_nobody() {
    let Some([mut one, other]) = redis_cluster::two().await else {
        return;
    };
    let replica = one.replica(&other).await;
    let store = format!(
        "cluster: ['redis://{}', 'redis://{}']",
        one.redis.address(),
        other.redis.address()
    );
    let Some(mut world) = World::new(1, &store).await else {
        return;
    };
    let scene = Scene::begin(&mut world).await;
    one.redis.stop();
    replica.takes_over().await;
    // Two shards, and one of them again.
    scene.has_asserted(3).await;
    scene.end(5_000).await;
}
