//! The broker of the kind `kafka`: what it promises those who write and those who read.

mod reading;
mod resets;
mod secured;
mod writing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_core::clock::SystemClock;
use linkgate_core::edges::{AsConfigured, Opener, config::BrokerConfig};
use linkgate_filter::broker::{
    Arrival, Begin, Broker, Consumer, Delivery, Event, Partition, Record, Subscription,
};
use linkgate_filter::{Clock, EdgeError};

use crate::common::wait::within;

/// A broker with the rest of its `kafka:` in YAML.
fn broker(address: SocketAddr, more: &str) -> Arc<dyn Broker> {
    let yaml = format!("{{ kafka: {{ bootstrap: \"{address}\", {more} }} }}");
    let config: BrokerConfig = serde_yaml::from_str(&yaml).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    AsConfigured::new(&clock).broker("main", &config).unwrap()
}

fn record(topic: &str, key: &str, payload: &str) -> Record {
    Record {
        topic: topic.into(),
        key: key.to_owned().into(),
        payload: payload.to_owned().into(),
        headers: vec![("about".into(), "it".into())],
    }
}

/// Sends, and waits for room as long as there is none.
async fn send(broker: &Arc<dyn Broker>, mut record: Record) -> Delivery {
    loop {
        match broker.send(record) {
            Ok(delivery) => return delivery,
            Err(full) => record = full.0,
        }
        within("room for a record", broker.room()).await;
    }
}

/// Writes numbers from 0 on under one key, and waits until they are stored.
async fn write(broker: &Arc<dyn Broker>, topic: &str, key: &str, count: usize) {
    let mut deliveries = Vec::new();
    for number in 0..count {
        deliveries.push(send(broker, record(topic, key, &number.to_string())).await);
    }
    for delivery in deliveries {
        stored(delivery).await.unwrap();
    }
}

async fn stored(delivery: Delivery) -> Result<(), EdgeError> {
    within("a record's outcome", delivery).await
}

fn subscription(topic: &str, group: &str) -> Subscription {
    Subscription {
        topics: vec![topic.into()],
        group: group.into(),
        begin: Begin::Oldest,
        read_ahead: 64 << 10,
        release_within: Duration::from_secs(20),
    }
}

/// A member of a group.
struct Member(Box<dyn Consumer>);

impl Member {
    fn join(broker: &Arc<dyn Broker>, subscription: &Subscription) -> Self {
        Self(broker.subscribe(subscription).unwrap())
    }

    /// The next event that is no failure, and says nothing of others.
    async fn next(&mut self) -> Event {
        loop {
            match within("an event", self.0.next()).await {
                Event::Failed(_) | Event::Recovered | Event::Elsewhere(_) => {}
                event => return event,
            }
        }
    }

    /// The next record; partitions may come before it.
    async fn record(&mut self) -> Arrival {
        loop {
            match self.next().await {
                Event::Record(arrival) => return arrival,
                Event::Assigned(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next `count` numbers.
    async fn numbers(&mut self, count: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(number(&self.record().await));
        }
        numbers
    }

    async fn close(self) {
        within("the member leaves", self.0.close()).await;
    }
}

fn number(arrival: &Arrival) -> usize {
    let text = std::str::from_utf8(&arrival.payload).unwrap();
    text.parse().unwrap()
}

fn partition(topic: &str, number: i32) -> Partition {
    Partition {
        topic: topic.into(),
        number,
    }
}
