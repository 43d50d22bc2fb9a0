//! What a large cluster asks of etcd and of the directory, and how long it takes until all is certain again, by what single
//! operations were measured to cost (docs/performance.md). A model, not a measurement: it adds up, and knows of no queue.
//!
//! `cargo run --example cluster_model`

#![allow(clippy::print_stdout, reason = "what it is for")]

use std::time::Duration;

/// A cluster, and what its users do.
struct Cluster {
    nodes: f64,
    users: f64,
    /// Primaries of a Redis Cluster.
    shards: f64,
    /// How long a link stands.
    link: Duration,
    pushes_per_second: f64,
    /// Of the pushes, those whose user is not there.
    absent: f64,
}

// Measured on one Redis 7.0.15 and one etcd 3.4.23, on a busy machine: seconds of their CPU.
const CLAIM: f64 = 15e-6;
const RELEASE: f64 = 4e-6;
const FIND: f64 = 1.7e-6;
const FIND_NOBODY: f64 = 0.4e-6;
const LIFE: f64 = 10e-6;
/// Bytes of a user in Redis.
const USER: f64 = 152.0;
/// To say how far the registry was written, for each node in it.
const NEWEST_PER_NODE: f64 = 6e-6;

// What nodes do, by default.
const LEASE: f64 = 10.0;
const SUSPECT_FOR: f64 = 30.0;
/// A node's record is written as often, at most and at least.
const RECORD: (f64, f64) = (5.0, 30.0);
/// A shard's life is looked at as often.
const AUDIT: f64 = 10.0;
/// Claims are entered anew with as much of a shard's time.
const SHARE: f64 = 0.5;
/// Misses wait for one question to etcd at a time: as many questions a second a node asks at most.
const QUESTIONS: f64 = 200.0;

fn main() {
    let cluster = Cluster {
        nodes: 100.0,
        users: 10e6,
        shards: 6.0,
        link: Duration::from_secs(1800),
        pushes_per_second: 100e3,
        absent: 0.3,
    };
    let Cluster {
        nodes,
        users,
        shards,
        pushes_per_second,
        absent,
        ..
    } = cluster;
    println!(
        "{nodes} nodes, {users} users with a link each, {shards} shards, {pushes_per_second} pushes/s, {:.0} % of them to users who are not there",
        absent * 100.0
    );

    println!("\netcd");
    let keepalives = nodes / (LEASE / 3.0);
    println!("  keepalives        {keepalives:8.0} /s");
    for (what, every) in [("at most", RECORD.0), ("at least", RECORD.1)] {
        let writes = nodes / every;
        println!(
            "  records, {what:<8} {writes:8.1} writes/s, {:.0} events/s to the nodes",
            writes * nodes
        );
    }
    let misses = pushes_per_second * absent;
    let questions = misses.min(nodes * QUESTIONS);
    let cpu = questions * NEWEST_PER_NODE * nodes;
    println!("  \"how far\"         {questions:8.0} /s at most, {cpu:.1} cores");

    println!("\ndirectory, each shard");
    let logins = users / cluster.link.as_secs_f64() / shards;
    let pushes = pushes_per_second / shards;
    let lives = (pushes * absent).min(1000.0 * nodes);
    let used = logins * (CLAIM + RELEASE)
        + pushes * (1.0 - absent) * FIND
        + pushes * absent * FIND_NOBODY * 2.0
        + lives * LIFE;
    println!(
        "  users             {:8.0}, {:.0} MB",
        users / shards,
        users / shards * USER / 1e6
    );
    println!("  logins            {logins:8.0} /s");
    println!(
        "  finds             {:8.0} /s, of which {:.0} twice",
        pushes * (1.0 + absent),
        pushes * absent
    );
    println!("  lives read        {lives:8.0} /s at most: once for all misses of a node that wait");
    println!("  CPU               {used:8.2} of its one core");

    println!("\nuntil all is certain again");
    println!(
        "  a node dies       {:8.0} s: its lease, then `suspect_for`; users of other nodes notice nothing",
        LEASE + SUSPECT_FOR
    );
    let claims = users / shards * CLAIM / SHARE;
    println!(
        "  a shard is lost   {:8.0} s after its failover: {AUDIT:.0} to notice at most, {claims:.0} to enter {:.0} links anew",
        AUDIT + claims,
        users / shards
    );
    println!(
        "                    meanwhile each miss is asked of the nodes that are behind, if they are at most 8"
    );
}
