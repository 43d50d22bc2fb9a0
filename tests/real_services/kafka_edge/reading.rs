//! What a reader is promised.

use std::collections::HashMap;
use std::time::Duration;

use linkgate_filter::broker::{Event, Partition, Release, Subscription};
use tokio::time::Instant;

use super::{Member, broker, number, partition, record, send, stored, subscription, write};
use crate::common::wait::within;
use crate::services::Kafka;

fn numbers(range: std::ops::Range<usize>) -> Vec<usize> {
    range.collect()
}

#[tokio::test]
async fn what_is_done_outlives_the_member_and_the_rest_is_read_again() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "progress", 1).await;
    let broker = broker(address, "");
    write(&broker, "progress", "k", 100).await;
    let group = subscription("progress", "progress");
    let mut first = Member::join(&broker, &group);
    assert_eq!(first.numbers(60).await, numbers(0..60));
    first.0.done(&partition("progress", 0), 40);
    // Neither what was not handed out, nor a partition of others, changes anything.
    first.0.done(&partition("progress", 0), 90);
    first.0.done(&partition("progress", 7), 50);
    first.close().await;

    let mut second = Member::join(&broker, &group);
    assert_eq!(second.numbers(60).await, numbers(40..100));
    second.close().await;
}

#[tokio::test]
async fn a_paused_partition_goes_on_where_it_stopped() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let broker = broker(address, "");
    for topic in ["pause-a", "pause-b"] {
        Kafka::topic(address, topic, 1).await;
        write(&broker, topic, "k", 500).await;
    }
    let group = Subscription {
        topics: vec!["pause-a".into(), "pause-b".into()],
        ..subscription("", "pause")
    };
    let mut member = Member::join(&broker, &group);
    let mut seen: HashMap<Partition, Vec<usize>> = HashMap::new();
    let (a, b) = (partition("pause-a", 0), partition("pause-b", 0));
    while seen.get(&a).map_or(0, Vec::len) < 3 {
        let arrival = member.record().await;
        seen.entry(arrival.partition.clone())
            .or_default()
            .push(number(&arrival));
    }
    member.0.pause(&a);
    while seen.get(&b).map_or(0, Vec::len) < 500 {
        let arrival = member.record().await;
        assert_eq!(arrival.partition, b, "the other one is paused");
        seen.entry(b.clone()).or_default().push(number(&arrival));
    }
    member.0.resume(&a);
    while seen[&a].len() < 500 {
        let arrival = member.record().await;
        let all = seen.entry(arrival.partition.clone()).or_default();
        all.push(number(&arrival));
        // At times for a moment only.
        if all.len().is_multiple_of(20) {
            member.0.pause(&a);
            member.0.resume(&a);
        }
    }
    assert_eq!(seen[&a], numbers(0..500));
    assert_eq!(seen[&b], numbers(0..500));
    member.close().await;
}

#[tokio::test]
async fn a_slow_reader_keeps_little_and_loses_nothing() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "slow", 1).await;
    let broker = broker(address, "");
    write(&broker, "slow", "k", 5000).await;
    let small = Subscription {
        read_ahead: 8 << 10,
        ..subscription("slow", "slow")
    };
    let mut member = Member::join(&broker, &small);
    assert_eq!(member.numbers(5000).await, numbers(0..5000));
    member.close().await;
}

/// Waits until the member has to give partitions up; what it reads until then is counted as done.
async fn revoked(
    member: &mut Member,
    seen: &mut Vec<(Partition, i64)>,
) -> (Vec<Partition>, Release) {
    loop {
        match member.next().await {
            Event::Record(arrival) => {
                member.0.done(&arrival.partition, arrival.offset + 1);
                seen.push((arrival.partition, arrival.offset));
            }
            Event::Revoked(partitions, release) => return (partitions, release),
            Event::Assigned(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_rebalance_hands_over_exactly_where_the_first_member_stopped() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "handover", 4).await;
    let broker = broker(address, "");
    let mut deliveries = Vec::new();
    for number in 0..400 {
        let key = format!("user-{}", number % 40);
        deliveries.push(send(&broker, record("handover", &key, &number.to_string())).await);
    }
    for delivery in deliveries {
        stored(delivery).await.unwrap();
    }
    let group = subscription("handover", "handover");
    let mut first = Member::join(&broker, &group);
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let arrival = first.record().await;
        seen.push((arrival.partition, arrival.offset));
    }

    let mut second = Member::join(&broker, &group);
    let second_reads = tokio::spawn(async move {
        let Event::Assigned(partitions) = second.next().await else {
            panic!("a new member begins with partitions");
        };
        (second, partitions)
    });
    let (moving, release) = revoked(&mut first, &mut seen).await;
    assert!(!second_reads.is_finished(), "they are held");
    // Settled only now, while they are held; the last of each partition says it all.
    for (partition, offset) in &seen {
        first.0.done(partition, offset + 1);
    }
    drop(release);
    let (mut second, assigned) = within("the handover", second_reads).await.unwrap();
    let sorted = |mut partitions: Vec<Partition>| {
        partitions.sort();
        partitions
    };
    assert_eq!(sorted(assigned), sorted(moving));

    while seen.len() < 400 {
        let arrival = within("a record of either", async {
            tokio::select! {
                arrival = first.record() => arrival,
                arrival = second.record() => arrival,
            }
        });
        let arrival = arrival.await;
        seen.push((arrival.partition, arrival.offset));
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "nothing is read twice");
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_member_is_told_how_many_partitions_others_have() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "alone", 3).await;
    let broker = broker(address, "");
    let group = subscription("alone", "alone");
    let mut first = Member::join(&broker, &group);
    let Event::Assigned(all) = first.next().await else {
        panic!("a member begins with partitions");
    };
    assert_eq!(all.len(), 3);
    let mut second = Member::join(&broker, &group);
    // What is taken from a member is released at once: the events are dropped.
    let elsewhere = async |member: &mut Member, told: usize| {
        let told =
            async { while !matches!(member.0.next().await, Event::Elsewhere(n) if n == told) {} };
        within("a word on the partitions of others", told).await;
    };
    tokio::join!(elsewhere(&mut first, 1), elsewhere(&mut second, 2));
    let (first, ()) = tokio::join!(first.close(), elsewhere(&mut second, 0));
    let () = first;
    second.close().await;
}

#[tokio::test]
async fn partitions_that_are_not_released_go_when_their_time_is_over() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "overtime", 2).await;
    let broker = broker(address, "");
    for key in ["a", "b", "c", "d", "e", "f"] {
        write(&broker, "overtime", key, 10).await;
    }
    let group = Subscription {
        release_within: Duration::from_millis(200),
        ..subscription("overtime", "overtime")
    };
    let mut first = Member::join(&broker, &group);
    for _ in 0..60 {
        first.record().await;
    }
    let mut second = Member::join(&broker, &group);
    let second_reads = tokio::spawn(async move {
        let arrival = second.record().await;
        second.close().await;
        arrival
    });
    let mut held = None;
    while held.is_none() {
        if let Event::Revoked(_, release) = first.next().await {
            held = Some(release);
        }
    }
    let arrival = within("the other member reads", second_reads)
        .await
        .unwrap();
    assert_eq!(arrival.offset, 0, "nothing was done");
    drop(held);
    first.close().await;
}

#[tokio::test]
async fn a_reader_goes_on_after_the_broker_was_away_and_leaves_a_dead_one() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    let broker = broker(kafka.address(), "");
    write(&broker, "t", "k", 10).await;
    let mut member = Member::join(&broker, &subscription("t", "g"));
    assert_eq!(member.numbers(10).await, numbers(0..10));
    kafka.stop();
    let failed = async {
        loop {
            if let Event::Failed(error) = member.0.next().await {
                return error;
            }
        }
    };
    within("a word that the broker is away", failed).await;
    kafka.resume().await;
    write(&broker, "t", "k", 5).await;
    assert_eq!(member.numbers(5).await, numbers(0..5));

    kafka.freeze();
    member.0.done(&partition("t", 0), 15);
    let begun = Instant::now();
    member.close().await;
    assert!(
        begun.elapsed() < Duration::from_secs(7),
        "it takes {:?}",
        begun.elapsed()
    );
    kafka.thaw();
    kafka.stop();
}

#[tokio::test]
async fn a_paused_partition_that_is_lost_is_read_again_when_it_comes_back() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    let quick = "properties: { session.timeout.ms: \"6000\" }";
    let broker = broker(kafka.address(), quick);
    write(&broker, "t", "k", 10).await;
    let mut member = Member::join(&broker, &subscription("t", "g"));
    assert_eq!(member.numbers(5).await, numbers(0..5));
    member.0.done(&partition("t", 0), 3);
    member.0.pause(&partition("t", 0));

    kafka.stop();
    let Event::Lost(lost) = member.next().await else {
        panic!("a member that is silent for too long loses what it has");
    };
    assert_eq!(lost, [partition("t", 0)]);
    kafka.resume().await;
    let Event::Assigned(back) = member.next().await else {
        panic!("it gets it again");
    };
    assert_eq!(back, lost);
    let first = member.numbers(1).await[0];
    assert!(first <= 3, "{first}: it was done with 3");
    assert_eq!(member.numbers(9 - first).await, numbers(first + 1..10));
    member.close().await;
}
