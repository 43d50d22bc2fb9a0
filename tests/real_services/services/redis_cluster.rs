//! A Redis Cluster.

use super::{Redis, free_address};
use crate::common::wait::until;

/// A node of a Cluster.
pub(crate) struct Node {
    pub(crate) redis: Redis,
    bus: u16,
}

impl Node {
    /// Starts one that is of no Cluster yet.
    pub(crate) async fn start() -> Option<Self> {
        let bus = free_address().port();
        let args =
            format!("--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 1000");
        let redis = Redis::start_with(&args).await?;
        Some(Self { redis, bus })
    }

    pub(crate) async fn accepts(&self, command: &str) {
        let done = self.redis.call(command).await;
        assert_eq!(done.as_deref(), Some("+OK"), "{command}");
    }

    async fn meet(&self, other: &Self) {
        let port = other.redis.address().port();
        let bus = other.bus;
        self.accepts(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))
            .await;
    }

    /// Starts a replica of this one, and makes it known to `other` of the Cluster.
    pub(crate) async fn replica(&self, other: &Self) -> Self {
        let replica = Self::start().await.unwrap();
        other.meet(&replica).await;
        let primary = self.id().await;
        until("the replica knows the primary", async || {
            replica.says("CLUSTER NODES", &primary).await
        })
        .await;
        replica
            .accepts(&format!("CLUSTER REPLICATE {primary}"))
            .await;
        replica
    }

    /// This replica takes over, whatever the others say.
    pub(crate) async fn takes_over(&self) {
        until("the replica has taken over", async || {
            let _ = self.redis.call("CLUSTER FAILOVER TAKEOVER").await;
            self.says("INFO replication", "role:master").await
        })
        .await;
    }

    pub(crate) async fn id(&self) -> String {
        let answer = self.redis.answer("CLUSTER MYID").await.unwrap();
        answer.lines().nth(1).unwrap().to_owned()
    }

    /// Whether the answer to a command holds this word.
    pub(crate) async fn says(&self, command: &str, word: &str) -> bool {
        let answer = self.redis.answer(command).await;
        answer.is_some_and(|answer| answer.contains(word))
    }
}

/// Two primaries with half the slots each.
pub(crate) async fn two() -> Option<[Node; 2]> {
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
