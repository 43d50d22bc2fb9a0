//! Topics that are made again or grow, and groups that are elsewhere than they should be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use linkgate_filter::broker::{Begin, Event, Subscription};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::sleep;

use super::{Member, broker, number, send, stored, subscription, write};
use crate::common::wait::{PATIENCE, within};
use crate::services::Kafka;
use crate::services::kafka::client;

/// Up to where a group is done with the first partition of a topic, as the broker has it.
async fn committed(address: SocketAddr, topic: &'static str) -> Option<i64> {
    let ask = move || {
        let asker: BaseConsumer = client(address).set("group.id", topic).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let known = asker.committed_offsets(list, PATIENCE).unwrap();
        match known.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

async fn is_committed(address: SocketAddr, topic: &'static str, offset: i64) {
    let looked = async {
        while committed(address, topic).await != Some(offset) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    within("the group's offset", looked).await;
}

fn admin(address: SocketAddr) -> AdminClient<DefaultClientContext> {
    client(address).create().unwrap()
}

async fn make_again(address: SocketAddr, topic: &str) {
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let gone = admin(address)
        .delete_topics(&[topic], &options)
        .await
        .unwrap();
    gone[0].as_ref().unwrap();
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let made = admin(address)
        .create_topics(&[topic], &options)
        .await
        .unwrap();
    // Whoever reads it may have been the first to ask for it.
    match &made[0] {
        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// What a member has met.
#[derive(Default)]
struct Met {
    numbers: Vec<usize>,
    resets: Vec<(i64, i64)>,
}

/// Reads so many records, and is done with each.
async fn read(member: &mut Member, count: usize) -> Met {
    let mut met = Met::default();
    while met.numbers.len() < count {
        match member.next().await {
            Event::Record(arrival) => {
                met.numbers.push(number(&arrival));
                member.0.done(&arrival.partition, arrival.offset + 1);
            }
            Event::Reset(reset) => met.resets.push((reset.expected, reset.found)),
            _ => {}
        }
    }
    met
}

#[tokio::test]
async fn a_topic_that_is_made_again_is_read_from_its_beginning_and_its_group_follows() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let topic = "made-again";
    Kafka::topic(address, topic, 1).await;
    let group = subscription(topic, topic);
    let mut member = Member::join(&broker(address, ""), &group);
    write(&broker(address, ""), topic, "k", 20).await;
    assert_eq!(read(&mut member, 20).await.numbers.len(), 20);
    is_committed(address, topic, 20).await;

    make_again(address, topic).await;
    write(&broker(address, ""), topic, "k", 5).await;
    let met = read(&mut member, 5).await;
    assert_eq!(met.numbers, [0, 1, 2, 3, 4]);
    println!("resets: {:?}", met.resets);
    is_committed(address, topic, 5).await;
    member.close().await;
    assert_eq!(committed(address, topic).await, Some(5));

    write(&broker(address, ""), topic, "k", 20).await;
    let mut member = Member::join(&broker(address, ""), &group);
    let numbers: Vec<_> = (0..20).collect();
    assert_eq!(read(&mut member, 20).await.numbers, numbers);
    is_committed(address, topic, 25).await;
    member.close().await;
}

#[tokio::test]
async fn a_group_beyond_the_end_of_its_log_is_set_back_and_loses_nothing() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let topic = "beyond";
    Kafka::topic(address, topic, 1).await;
    write(&broker(address, ""), topic, "k", 5).await;
    let commit = move || {
        let other: BaseConsumer = client(address).set("group.id", topic).create().unwrap();
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(20);
        list.add_partition_offset(topic, 0, at).unwrap();
        other.assign(&list).unwrap();
        other.commit(&list, CommitMode::Sync).unwrap();
    };
    tokio::task::spawn_blocking(commit).await.unwrap();

    let group = subscription(topic, topic);
    let mut member = Member::join(&broker(address, ""), &group);
    let met = read(&mut member, 5).await;
    assert_eq!(
        (met.numbers, met.resets),
        (vec![0, 1, 2, 3, 4], vec![(20, 0)])
    );
    is_committed(address, topic, 5).await;
    write(&broker(address, ""), topic, "k", 20).await;
    assert!(read(&mut member, 20).await.resets.is_empty());
    is_committed(address, topic, 25).await;
    member.close().await;
}

#[tokio::test]
async fn who_begins_at_the_end_misses_nothing_from_then_on() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let topic = "newest";
    Kafka::topic(address, topic, 1).await;
    write(&broker(address, ""), topic, "k", 3).await;
    let group = Subscription {
        begin: Begin::Newest,
        ..subscription(topic, topic)
    };
    let quick = "properties: { topic.metadata.refresh.interval.ms: \"1000\" }";
    let mut member = Member::join(&broker(address, quick), &group);
    let Event::Assigned(_) = member.next().await else {
        panic!("a new member begins with partitions");
    };
    is_committed(address, topic, 3).await;
    member.close().await;

    write(&broker(address, ""), topic, "k", 3).await;
    let mut member = Member::join(&broker(address, quick), &group);
    assert_eq!(read(&mut member, 3).await.numbers, [0, 1, 2]);

    let options = AdminOptions::new();
    let more = [NewPartitions::new(topic, 4)];
    let grown = admin(address)
        .create_partitions(&more, &options)
        .await
        .unwrap();
    grown[0].as_ref().unwrap();
    let writer = broker(address, "");
    let mut seen = BTreeMap::new();
    for number in 0..40 {
        let key = format!("user-{number}");
        let record = super::record(topic, &key, &number.to_string());
        stored(send(&writer, record).await).await.unwrap();
        seen.insert(number, 0);
    }
    for number in read(&mut member, 40).await.numbers {
        *seen.entry(number).or_default() += 1;
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    member.close().await;
}

#[tokio::test]
async fn records_that_a_topic_has_kept_for_too_short_a_time_are_told_of() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let topic = "kept-shortly";
    Kafka::topic(address, topic, 1).await;
    let group = subscription(topic, topic);
    write(&broker(address, ""), topic, "k", 5).await;
    let mut member = Member::join(&broker(address, ""), &group);
    assert_eq!(read(&mut member, 5).await.numbers.len(), 5);
    is_committed(address, topic, 5).await;
    member.close().await;

    write(&broker(address, ""), topic, "k", 20).await;
    let mut list = TopicPartitionList::new();
    let first = Offset::Offset(15);
    list.add_partition_offset(topic, 0, first).unwrap();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    admin(address)
        .delete_records(&list, &options)
        .await
        .unwrap();
    let mut member = Member::join(&broker(address, ""), &group);
    let met = read(&mut member, 10).await;
    assert_eq!(met.resets, [(5, 15)]);
    assert_eq!(met.numbers, (10..20).collect::<Vec<_>>());
    is_committed(address, topic, 25).await;
    member.close().await;
}
