//! A Cluster: each primary is a shard with a life of its own.

use std::sync::Arc;

use linkgate_core::edges::directory::{Directory, DirectoryError, Operation, Shard, Topology};

use super::{assert_other_life, claim, life, open_at, run_one, user};
use crate::common::wait::{until, within};
use crate::services::{Redis, free_address};

struct Node {
    redis: Redis,
    bus: u16,
}

impl Node {
    async fn start() -> Option<Self> {
        let bus = free_address().port();
        let args =
            format!("--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 1000");
        let redis = Redis::start_with(&args).await?;
        Some(Self { redis, bus })
    }

    async fn accepts(&self, command: &str) {
        let done = self.redis.call(command).await;
        assert_eq!(done.as_deref(), Some("+OK"), "{command}");
    }

    async fn meet(&self, other: &Self) {
        let port = other.redis.address().port();
        let bus = other.bus;
        self.accepts(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
            .await;
    }

    async fn id(&self) -> String {
        let answer = self.redis.answer("CLUSTER MYID").await.unwrap();
        answer.lines().nth(1).unwrap().to_owned()
    }

    async fn says(&self, command: &str, word: &str) -> bool {
        let answer = self.redis.answer(command).await;
        answer.is_some_and(|answer| answer.contains(word))
    }
}

/// Two primaries with half the slots each.
async fn two() -> Option<[Node; 2]> {
    let (one, other) = (Node::start().await?, Node::start().await?);
    one.accepts("CLUSTER ADDSLOTSRANGE 0 8191").await;
    other.accepts("CLUSTER ADDSLOTSRANGE 8192 16383").await;
    one.meet(&other).await;
    for node in [&one, &other] {
        until("the nodes know each other", async || {
            node.says("CLUSTER INFO", "cluster_state:ok").await
                && node.says("CLUSTER INFO", "cluster_slots_ok:16384").await
        })
        .await;
    }
    Some([one, other])
}

fn open(node: &Node) -> Arc<dyn Directory> {
    open_at(&format!("cluster: ['redis://{}']", node.redis.address()))
}

async fn topology(directory: &Arc<dyn Directory>) -> Arc<dyn Topology> {
    let mut topology = directory.topology();
    let known = within("the map is known", topology.wait_for(Option::is_some)).await;
    known.unwrap().clone().unwrap()
}

/// A user of this shard.
fn user_of(topology: &Arc<dyn Topology>, shard: Shard) -> linkgate_core::edges::directory::User {
    let mut users = (0..).map(|number| user(&format!("{{user}}{number}")));
    users.find(|user| topology.shard(user) == shard).unwrap()
}

#[tokio::test]
async fn each_primary_is_a_shard_with_a_life_of_its_own() {
    let Some([one, other]) = two().await else {
        return;
    };
    let directory = open(&other);
    let topology = topology(&directory).await;
    assert_eq!(topology.shards(), 2);
    let shards = [Shard(0), Shard(1)];
    let mut lives = Vec::new();
    for shard in shards {
        lives.push(life(&directory, shard).await);
    }
    assert_ne!(lives[0], lives[1]);
    assert_other_life(&directory, Shard(0), lives[1]).await;
    for (shard, node) in shards.into_iter().zip([&one, &other]) {
        let life = lives[usize::from(shard.0)];
        let mine = user_of(&topology, shard);
        run_one(&directory, shard, life, claim(mine, 1))
            .await
            .unwrap();
        // The user, and the value that is lost with the data.
        assert_eq!(node.redis.call("DBSIZE").await.as_deref(), Some(":2"));
    }
    // One user who is elsewhere does not stop the others.
    let [mine, theirs] = shards.map(|shard| user_of(&topology, shard));
    let operations = vec![Operation::Find(theirs), Operation::Find(mine)];
    let answers = directory.run(Shard(0), lives[0], operations).await.unwrap();
    assert_eq!(answers[0], Err(DirectoryError::Moved));
    assert_eq!(answers[1].as_ref().unwrap().claims.len(), 1);
    let nobody = directory.life(Shard(2)).await;
    assert_eq!(nobody, Err(DirectoryError::Moved));
    assert_eq!(
        life(&open(&one), Shard(1)).await,
        lives[1],
        "all nodes read one life"
    );
}

#[tokio::test]
async fn slots_that_move_change_the_map_and_both_lives() {
    let Some([one, other]) = two().await else {
        return;
    };
    let directory = open(&one);
    let before = topology(&directory).await;
    let lives = [
        life(&directory, Shard(0)).await,
        life(&directory, Shard(1)).await,
    ];
    let mut watch = directory.topology();
    watch.mark_unchanged();
    let to = other.id().await;
    // No key lies in the last slot of the first half.
    for node in [&other, &one] {
        node.accepts(&format!("CLUSTER SETSLOT 8191 NODE {to}"))
            .await;
    }
    until("the lives have changed", async || {
        let _ = (
            directory.life(Shard(0)).await,
            directory.life(Shard(1)).await,
        );
        watch.has_changed().unwrap()
    })
    .await;
    assert_eq!(topology(&directory).await.shards(), before.shards());
    for (shard, before) in [Shard(0), Shard(1)].into_iter().zip(lives) {
        assert_other_life(&directory, shard, before).await;
        assert_ne!(life(&directory, shard).await, before);
        assert_other_life(&directory, shard, before).await;
    }
}

#[tokio::test]
async fn a_replica_that_takes_over_is_in_another_life() {
    let Some([mut one, other]) = two().await else {
        return;
    };
    let replica = Node::start().await.unwrap();
    other.meet(&replica).await;
    let primary = one.id().await;
    until("the replica knows the primary", async || {
        replica.says("CLUSTER NODES", &primary).await
    })
    .await;
    replica
        .accepts(&format!("CLUSTER REPLICATE {primary}"))
        .await;
    let directory = open(&other);
    let map = topology(&directory).await;
    let (mine, theirs) = (user_of(&map, Shard(0)), user_of(&map, Shard(1)));
    let before = life(&directory, Shard(0)).await;
    let neighbour = life(&directory, Shard(1)).await;
    run_one(&directory, Shard(0), before, claim(mine.clone(), 1))
        .await
        .unwrap();
    until("the replica has it", async || {
        replica.redis.call("DBSIZE").await.as_deref() == Some(":2")
    })
    .await;
    one.redis.stop();
    let gone = directory
        .run(Shard(0), before, vec![Operation::Find(mine.clone())])
        .await;
    assert!(gone.is_err(), "{gone:?}");
    // The other shard goes on meanwhile.
    run_one(&directory, Shard(1), neighbour, claim(theirs, 2))
        .await
        .unwrap();
    until("the replica has taken over", async || {
        let _ = replica.redis.call("CLUSTER FAILOVER TAKEOVER").await;
        replica.says("INFO replication", "role:master").await
    })
    .await;
    let after = life(&directory, Shard(0)).await;
    assert_ne!(before, after);
    assert_other_life(&directory, Shard(0), before).await;
    let found = run_one(&directory, Shard(0), after, Operation::Find(mine)).await;
    assert_eq!(found.unwrap().claims.len(), 1);
}
