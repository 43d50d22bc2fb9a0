//! What a writer is promised.

use std::collections::HashMap;

use linkgate_filter::broker::Event;
use linkgate_filter::{EdgeFailure, Effect};

use super::{Member, broker, number, record, send, stored, subscription, write};
use crate::common::wait::within;
use crate::services::Kafka;

#[tokio::test]
async fn records_arrive_whole_and_in_the_order_of_their_key_through_a_small_queue() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(address, "order", 3).await;
    let small = broker(
        address,
        "queue: { max_messages: 10 }, compression: lz4, linger: 1ms",
    );
    let mut deliveries = Vec::new();
    for number in 0..1000 {
        let key = format!("user-{}", number % 7);
        deliveries.push(send(&small, record("order", &key, &number.to_string())).await);
    }
    for delivery in deliveries {
        stored(delivery).await.unwrap();
    }
    let mut member = Member::join(&small, &subscription("order", "order"));
    let mut last = HashMap::new();
    for _ in 0..1000 {
        let arrival = member.record().await;
        assert_eq!(arrival.headers, [("about".into(), "it".into())]);
        assert!(arrival.written.is_some());
        let before = last.insert(arrival.key.clone(), number(&arrival));
        assert!(before < Some(number(&arrival)), "{arrival:?}");
    }
    assert_eq!(last.len(), 7);
    member.close().await;
}

#[tokio::test]
async fn a_full_queue_gives_records_back_and_says_when_there_is_room() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    let broker = broker(kafka.address(), "queue: { max_messages: 2 }, linger: 0s");
    write(&broker, "t", "k", 1).await;
    kafka.freeze();
    let one = broker.send(record("t", "k", "1")).unwrap();
    let two = broker.send(record("t", "k", "2")).unwrap();
    let full = broker.send(record("t", "k", "3")).err().unwrap();
    assert_eq!(full.0.payload, "3");
    let room = tokio::spawn(broker.room());
    kafka.thaw();
    within("room", room).await.unwrap();
    stored(one).await.unwrap();
    stored(two).await.unwrap();
    stored(broker.send(full.0).unwrap()).await.unwrap();
    kafka.stop();
}

#[tokio::test]
async fn a_dead_broker_ends_in_a_failure_that_says_what_is_known() {
    let Some(mut kafka) = Kafka::start().await else {
        return;
    };
    Kafka::topic(kafka.address(), "t", 1).await;
    let broker = broker(kafka.address(), "timeout: 2s, linger: 0s");
    write(&broker, "t", "k", 1).await;

    // Sent, and never answered: it may be stored.
    kafka.freeze();
    let error = stored(broker.send(record("t", "k", "1")).unwrap()).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.failure, error.effect),
        (EdgeFailure::TimedOut, Effect::Unknown)
    );
    kafka.thaw();

    // Never sent, as there is nobody to send it to.
    kafka.stop();
    let error = stored(broker.send(record("t", "k", "2")).unwrap()).await;
    let error = error.unwrap_err();
    assert_eq!(error.failure, EdgeFailure::TimedOut);

    kafka.resume().await;
    for number in 3.. {
        let sent = stored(broker.send(record("t", "k", &number.to_string())).unwrap()).await;
        if sent.is_ok() {
            break;
        }
        assert!(number < 10, "{sent:?}");
    }
}

#[tokio::test]
async fn a_broker_that_was_never_there_has_certainly_stored_nothing() {
    if Kafka::shared().await.is_none() {
        return;
    }
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let broker = broker(nowhere, "timeout: 500ms");
    let error = stored(broker.send(record("t", "k", "1")).unwrap()).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.failure, error.effect),
        (EdgeFailure::TimedOut, Effect::None)
    );
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_without_effect() {
    let Some(address) = Kafka::shared().await else {
        return;
    };
    let broker = broker(address, "");
    let large = record("large", "k", &"x".repeat(2 << 20));
    let error = stored(broker.send(large).unwrap()).await.unwrap_err();
    assert_eq!(
        (error.failure, error.effect),
        (EdgeFailure::Refused, Effect::None)
    );
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_with_what_to_do() {
    let Some(kafka) = Kafka::start_set("auto.create.topics.enable=false").await else {
        return;
    };
    let broker = broker(kafka.address(), "timeout: 4s");
    let error = stored(broker.send(record("nowhere", "k", "1")).unwrap()).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.failure, error.effect),
        (EdgeFailure::Unreachable, Effect::None),
        "{error}"
    );
    assert!(error.to_string().contains("create the topic"), "{error}");
    let mut member = broker.subscribe(&subscription("nowhere", "g")).unwrap();
    let failed = async {
        loop {
            if let Event::Failed(error) = member.next().await {
                return error.to_string();
            }
        }
    };
    let said = within("a word of the topic", failed).await;
    assert!(
        said.contains("nowhere") && said.contains("create the topic"),
        "{said}"
    );
}
