//! A follower through what can happen to an etcd.

use std::time::Duration;

use etcd_client::CompactionOptions;

use super::{Documents, Follower, TIMING, Timing, key, open, push_now, raw, source};
use crate::common::wait::until;
use crate::services::Etcd;
use crate::services::Quiet;

#[tokio::test]
async fn an_etcd_that_was_away_is_followed_again() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("a", "1")]).await;
    let mut follower = Follower::start(&etcd);
    follower.sees_texts("the start", &[("a", "1")]).await;
    server.stop();
    let state = follower
        .sees("the loss", |state| {
            !state.connected && state.last_error.is_some()
        })
        .await;
    assert!(state.snapshot.is_some(), "what was known stays known");
    server.resume().await;
    follower
        .sees("the return", |state| {
            state.connected && state.last_error.is_none()
        })
        .await;
    push_now(&etcd, &[("a", "2")]).await;
    follower.sees_texts("a change", &[("a", "2")]).await;

    // What happened while nobody looked is told too.
    let hidden = server.hide().await;
    push_now(&open(hidden), &[("a", "3")]).await;
    server.stop();
    server.resume().await;
    follower
        .sees_texts("the change meanwhile", &[("a", "3")])
        .await;
}

#[tokio::test]
async fn a_follower_that_starts_without_etcd_waits_for_it() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let mut wanted = source(&[server.address()]);
    wanted.timeout = Duration::from_millis(300).into();
    let etcd = Documents::new(wanted).with_timing(TIMING);
    server.stop();
    let mut follower = Follower::start(&etcd);
    let state = follower
        .sees("an error", |state| state.last_error.is_some())
        .await;
    assert!(state.snapshot.is_none() && !state.connected);
    server.resume().await;
    follower.sees_texts("nothing", &[]).await;
}

#[tokio::test]
async fn what_was_compacted_away_meanwhile_is_read_anew() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("a", "1"), ("b", "1")]).await;
    let mut follower = Follower::start(&etcd);
    follower
        .sees_texts("the start", &[("a", "1"), ("b", "1")])
        .await;
    let hidden = server.hide().await;
    let writer = open(hidden);
    for number in 2..=5 {
        push_now(&writer, &[("a", &number.to_string()), ("c", "1")]).await;
    }
    let last = writer.read().await.unwrap().revision;
    let physical = CompactionOptions::new().with_physical();
    raw(hidden)
        .await
        .compact(last, Some(physical))
        .await
        .unwrap();
    server.stop();
    server.resume().await;
    follower
        .sees_texts("the end", &[("a", "5"), ("c", "1")])
        .await;
    push_now(&etcd, &[("a", "6")]).await;
    follower.sees_texts("what comes after", &[("a", "6")]).await;
}

#[tokio::test]
async fn a_cluster_restored_to_an_older_revision_is_read_anew() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("a", "old")]).await;
    server.stop();
    let backup = server.backup();
    server.resume().await;
    for number in 0..20 {
        push_now(&etcd, &[("a", &format!("new {number}"))]).await;
    }
    let mut follower = Follower::start(&etcd);
    follower.sees_texts("the start", &[("a", "new 19")]).await;
    server.stop();
    server.restore(&backup);
    server.resume().await;
    follower
        .sees_texts("the restored text", &[("a", "old")])
        .await;
    assert_eq!(push_now(&etcd, &[("a", "newer")]).await, 2);
    follower
        .sees_texts("what comes after", &[("a", "newer")])
        .await;
}

#[tokio::test]
async fn an_audit_finds_what_no_watch_tells() {
    let Some(mut server) = Etcd::start().await else {
        return;
    };
    let timing = Timing {
        audit: Duration::from_millis(300),
        ..TIMING
    };
    let etcd = Documents::new(source(&[server.address()])).with_timing(timing);
    push_now(&etcd, &[("a", "old"), ("b", "old")]).await;
    server.stop();
    let backup = server.backup();
    server.resume().await;
    push_now(&etcd, &[("a", "new"), ("b", "old")]).await;
    let mut follower = Follower::start(&etcd);
    follower
        .sees_texts("the start", &[("a", "new"), ("b", "old")])
        .await;
    follower.sees("a watch", |state| state.connected).await;
    // The cluster goes back, and by the time it is found again its term and its revision are ahead of what was known.
    server.stop();
    server.restore(&backup);
    for _ in 0..3 {
        server.hide().await;
    }
    let hidden = server.hide().await;
    let mut client = raw(hidden).await;
    for _ in 0..50 {
        client.put("/somewhere/else", "x", None).await.unwrap();
    }
    server.stop();
    server.resume().await;
    follower
        .sees_texts("the older text", &[("a", "old"), ("b", "old")])
        .await;
}

#[tokio::test]
async fn a_watch_that_went_dead_in_silence_is_replaced() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("a", "1")]).await;
    let way = Quiet::before(server.address()).await;
    let mut wanted = source(&[way.address()]);
    wanted.timeout = Duration::from_millis(500).into();
    let mut follower = Follower::start(&Documents::new(wanted).with_timing(TIMING));
    follower.sees("a watch", |state| state.connected).await;
    way.hush();
    push_now(&etcd, &[("a", "2")]).await;
    follower.sees_texts("the change", &[("a", "2")]).await;
}

#[tokio::test]
async fn a_cluster_goes_on_when_its_leader_is_killed() {
    let Some(mut cluster) = Etcd::cluster(3).await else {
        return;
    };
    let addresses: Vec<_> = cluster.iter().map(Etcd::address).collect();
    let etcd = Documents::new(source(&addresses)).with_timing(TIMING);
    push_now(&etcd, &[("a", "1")]).await;
    let mut follower = Follower::start(&etcd);
    follower.sees_texts("the start", &[("a", "1")]).await;
    let leader = leader(&cluster).await;
    cluster[leader].stop();
    until("a push goes through", async || {
        let Ok(seen) = etcd.read().await else {
            return false;
        };
        etcd.push(&seen, &super::push(&[("a", "2")])).await.is_ok()
    })
    .await;
    follower.sees_texts("the change", &[("a", "2")]).await;

    // Whoever leads now leaves too, and a majority comes back.
    let next = async {
        loop {
            for (number, member) in cluster.iter().enumerate() {
                if number != leader && member.leads().await {
                    return number;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let next = crate::common::wait::within("another leads", next).await;
    cluster[next].stop();
    follower
        .sees("the loss of the majority", |state| !state.connected)
        .await;
    cluster[leader].resume().await;
    until("a push goes through", async || {
        let Ok(seen) = etcd.read().await else {
            return false;
        };
        etcd.push(&seen, &super::push(&[("a", "3")])).await.is_ok()
    })
    .await;
    follower.sees_texts("the change", &[("a", "3")]).await;
    let mut client = raw(addresses[leader]).await;
    client.put(key("b"), "by hand", None).await.unwrap();
    follower
        .sees_texts("a change by hand", &[("a", "3"), ("b", "by hand")])
        .await;
}

async fn leader(cluster: &[Etcd]) -> usize {
    let mut found = None;
    until("one leads", async || {
        for (number, member) in cluster.iter().enumerate() {
            if member.leads().await {
                found = Some(number);
            }
        }
        found.is_some()
    })
    .await;
    found.unwrap()
}
