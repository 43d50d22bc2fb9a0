use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::broker::{Arrival, Begin, Event};
use crate::testkit::virtual_clock;

fn broker(partitions: usize, records: usize) -> MemoryBroker {
    let limits = MemoryBrokerLimits {
        partitions,
        records,
    };
    MemoryBroker::new(virtual_clock(), limits)
}

fn member(broker: &MemoryBroker) -> Box<dyn Consumer> {
    member_of(broker, &["t"])
}

fn member_of(broker: &MemoryBroker, topics: &[&str]) -> Box<dyn Consumer> {
    let subscription = Subscription {
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        group: "g".into(),
        begin: Begin::Oldest,
        read_ahead: 1 << 20,
        release_within: Duration::from_secs(1),
    };
    broker.subscribe(&subscription).unwrap()
}

async fn send(broker: &MemoryBroker, key: &'static str, payload: &'static str) {
    let record = Record {
        topic: "t".into(),
        key: key.into(),
        payload: payload.into(),
        headers: Vec::new(),
    };
    broker.send(record).unwrap().await.unwrap();
}

/// What has come by now.
fn come(member: &mut Box<dyn Consumer>) -> Vec<Arrival> {
    let mut all = Vec::new();
    while let Some(event) = member.next().now_or_never() {
        if let Event::Record(arrival) = event {
            all.push(arrival);
        }
    }
    all
}

fn payloads(arrivals: &[Arrival]) -> Vec<&[u8]> {
    arrivals.iter().map(|arrival| &*arrival.payload).collect()
}

#[tokio::test(start_paused = true)]
async fn records_of_a_key_are_read_in_order() {
    let broker = broker(4, 100);
    let mut member = member(&broker);
    for payload in ["1", "2", "3"] {
        send(&broker, "k", payload).await;
    }
    assert_eq!(payloads(&come(&mut member)), [b"1", b"2", b"3"]);
    send(&broker, "k", "4").await;
    assert_eq!(payloads(&come(&mut member)), [b"4"]);
}

#[tokio::test(start_paused = true)]
async fn the_next_member_begins_where_the_group_is_done() {
    let broker = broker(1, 100);
    for payload in ["1", "2", "3"] {
        send(&broker, "", payload).await;
    }
    let mut first = member(&broker);
    let mut second = member(&broker);
    let read = come(&mut first);
    first.done(&read[0].partition, read[1].offset);
    assert!(come(&mut second).is_empty());
    second.done(&read[0].partition, 3);
    assert_eq!(broker.progress("g", "t"), HashMap::from([(0, 1)]));
    first.close().await;
    assert_eq!(payloads(&come(&mut second)), [b"2", b"3"]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_waits() {
    let broker = broker(1, 100);
    let mut member = member(&broker);
    assert!(come(&mut member).is_empty());
    let partition = Partition {
        topic: "t".into(),
        number: 0,
    };
    member.pause(&partition);
    send(&broker, "", "1").await;
    assert!(come(&mut member).is_empty());
    member.resume(&partition);
    assert_eq!(payloads(&come(&mut member)), [b"1"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_partition_forgets_its_oldest() {
    let broker = broker(1, 2);
    for payload in ["1", "2", "3"] {
        send(&broker, "", payload).await;
    }
    let read = come(&mut member(&broker));
    assert_eq!(payloads(&read), [b"2", b"3"]);
    assert_eq!(read[0].offset, 1);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_group_that_read_different_topics_each_have_their_own() {
    let broker = broker(1, 100);
    let mut first = member_of(&broker, &["t", "both"]);
    let mut second = member_of(&broker, &["u", "both"]);
    assert!(come(&mut first).is_empty());
    assert!(come(&mut second).is_empty());
    for (topic, payload) in [("t", "1"), ("u", "2"), ("both", "3")] {
        let record = Record {
            topic: topic.into(),
            payload: payload.into(),
            ..Record::default()
        };
        broker.send(record).unwrap().await.unwrap();
    }
    assert_eq!(payloads(&come(&mut first)), [b"1", b"3"]);
    assert_eq!(payloads(&come(&mut second)), [b"2"]);
    first.close().await;
    assert_eq!(
        payloads(&come(&mut second)),
        [b"3"],
        "nobody was done with it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_is_told_what_others_have() {
    let broker = broker(4, 100);
    let (mut first, mut second) = (member(&broker), member(&broker));
    let told = |member: &mut Box<dyn Consumer>| {
        let events = std::iter::from_fn(|| member.next().now_or_never());
        let elsewhere = events.filter_map(|event| match event {
            Event::Elsewhere(partitions) => Some(partitions),
            _ => None,
        });
        elsewhere.collect::<Vec<_>>()
    };
    assert_eq!((told(&mut first), told(&mut second)), (vec![], vec![4]));
    drop(first);
    assert_eq!(told(&mut second), [0]);
}

/// All that has happened by now; records as `partition:offset`.
fn events(member: &mut Box<dyn Consumer>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = member.next().now_or_never() {
        all.push(match event {
            Event::Record(own) => format!("{}:{}", own.partition.number, own.offset),
            Event::Assigned(own) => format!("assigned {}", own.len()),
            Event::Revoked(own, _) => format!("revoked {}", own.len()),
            Event::Lost(own) => format!("lost {}", own.len()),
            Event::Reset(reset) => format!("reset {} {}", reset.expected, reset.found),
            other => panic!("{other:?}"),
        });
    }
    all
}

fn partition() -> Partition {
    Partition {
        topic: "t".into(),
        number: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_began_anew_or_lost_records_is_told_and_read_from_its_beginning() {
    let broker = broker(1, 3);
    let mut member = member(&broker);
    for _ in 0..2 {
        send(&broker, "k", "old").await;
    }
    assert_eq!(events(&mut member), ["assigned 1", "0:0", "0:1"]);
    member.done(&partition(), 2);
    broker.make_anew("t");
    send(&broker, "k", "new").await;
    assert_eq!(events(&mut member), ["reset 2 0", "0:0"]);
    assert_eq!(broker.progress("g", "t")[&0], 0);
    for _ in 0..4 {
        send(&broker, "k", "more").await;
    }
    assert_eq!(events(&mut member), ["reset 1 2", "0:2", "0:3", "0:4"]);
    broker.set_progress("g", partition(), 9);
    broker.lose("g");
    assert_eq!(
        events(&mut member),
        ["lost 1", "assigned 1", "reset 9 2", "0:2", "0:3", "0:4"]
    );
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_given_back_are_held_until_they_are_released() {
    let broker = broker(1, 3);
    let mut member = member(&broker);
    send(&broker, "k", "1").await;
    assert_eq!(events(&mut member), ["assigned 1", "0:0"]);
    broker.rebalance("g");
    let Some(Event::Revoked(_, release)) = member.next().now_or_never() else {
        panic!("it is to be given back");
    };
    send(&broker, "k", "2").await;
    assert!(events(&mut member).is_empty());
    member.done(&partition(), 1);
    drop(release);
    assert_eq!(events(&mut member), ["assigned 1", "0:1"]);
}

#[tokio::test(start_paused = true)]
async fn who_begins_at_the_end_has_that_place_at_once_and_misses_nothing_of_new_partitions() {
    let broker = broker(1, 3);
    send(&broker, "k", "before").await;
    let newest = Subscription {
        topics: vec!["t".into()],
        group: "g".into(),
        begin: Begin::Newest,
        read_ahead: 1 << 20,
        release_within: Duration::from_secs(1),
    };
    let mut member = broker.subscribe(&newest).unwrap();
    assert_eq!(events(&mut member), ["assigned 1"]);
    drop(member);
    send(&broker, "k", "while it was away").await;
    broker.grow("t", 2);
    for _ in 0..2 {
        send(&broker, "", "anywhere").await;
    }
    let mut member = broker.subscribe(&newest).unwrap();
    let mut all = events(&mut member);
    all.sort();
    assert_eq!(all, ["0:1", "0:2", "1:0", "assigned 2"]);
}
