//! A Cluster: each primary is a shard with a life of its own.

use std::sync::Arc;

use linkgate_core::edges::directory::{Directory, DirectoryError, Operation, Shard, Topology};

use super::{assert_other_life, claim, life, open_at, run_one, user};
use crate::common::wait::{until, within};
use crate::services::redis_cluster::{Node, two};

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
    let replica = one.replica(&other).await;
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
    replica.takes_over().await;
    let after = life(&directory, Shard(0)).await;
    assert_ne!(before, after);
    assert_other_life(&directory, Shard(0), before).await;
    let found = run_one(&directory, Shard(0), after, Operation::Find(mine)).await;
    assert_eq!(found.unwrap().claims.len(), 1);
}
