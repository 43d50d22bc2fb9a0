//! What a topic in memory is told.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::broker::{Broker, MemoryBroker, MemoryBrokerLimits};
use linkgate_filter::{Clock, Identity, LinkInfo};
use linkgate_proto::v1::PresenceEvent;
use tokio_util::sync::CancellationToken;

use super::{Presence, PresenceMetrics};
use crate::clock::SystemClock;
use crate::link::{Change, Watch};
use crate::outbox::Outlet;

struct World {
    broker: Arc<MemoryBroker>,
    clock: Arc<dyn Clock>,
    metrics: PresenceMetrics,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let limits = MemoryBrokerLimits {
            partitions: 1,
            records: 10_000,
        };
        Self {
            broker: Arc::new(MemoryBroker::new(Arc::clone(&clock), limits)),
            clock,
            metrics: PresenceMetrics::default(),
        }
    }

    fn presence(&self, max_queued: usize) -> (Presence, Watch) {
        let broker = Arc::clone(&self.broker) as Arc<dyn Broker>;
        let outlet = Outlet::topic(&broker, "presence");
        Presence::new(outlet, max_queued, ("n1", &self.clock), &self.metrics)
    }

    fn told(&self) -> Vec<PresenceEvent> {
        let records = self.broker.records("presence");
        let read = |record: &linkgate_filter::broker::Record| {
            serde_json::from_slice(&record.payload).unwrap()
        };
        records.iter().map(read).collect()
    }
}

fn hear(watch: &Watch, id: u64, is_online: bool, links: usize) {
    let identity = Identity::new("chat", "alice").at_device("phone");
    watch(&Change {
        link: &LinkInfo::new(id, identity),
        is_online,
        links,
    });
}

#[tokio::test(start_paused = true)]
async fn events_are_told_in_their_order_behind_the_start_of_the_node() {
    let world = World::new();
    let (presence, watch) = world.presence(100);
    hear(&watch, 1, true, 1);
    hear(&watch, 1, false, 0);
    let stop = CancellationToken::new();
    let running = tokio::spawn(presence.run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    hear(&watch, 2, true, 1);
    stop.cancel();
    running.await.unwrap();

    let told = world.told();
    let kinds = told.iter().map(|event| event.kind().as_str_name());
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds, ["NODE_STARTED", "ONLINE", "OFFLINE", "ONLINE"]);
    assert!(told.is_sorted_by(|one, other| one.sequence < other.sequence));
    assert!(told.iter().all(|event| event.node == "n1" && event.at > 0));
    let online = &told[1];
    assert_eq!((&*online.biz_id, &*online.user_id), ("chat", "alice"));
    assert_eq!(
        (online.device_id.as_deref(), online.links),
        (Some("phone"), 1)
    );
    assert_eq!(online.link_id, told[2].link_id);
    assert_ne!(online.link_id, told[3].link_id);
    assert_eq!(world.metrics.waiting.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_goes_on_counting() {
    let world = World::new();
    let last = {
        let (presence, watch) = world.presence(100);
        hear(&watch, 1, true, 1);
        let stop = CancellationToken::new();
        stop.cancel();
        presence.run(stop).await;
        world.told().last().unwrap().sequence
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (presence, _watch) = world.presence(100);
    let stop = CancellationToken::new();
    stop.cancel();
    presence.run(stop).await;
    let started = world.told().pop().unwrap();
    assert!(
        started.sequence > last,
        "so that what it said before is over"
    );
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_counted() {
    let world = World::new();
    let (presence, watch) = world.presence(3);
    for id in 0..5 {
        hear(&watch, id, true, 1);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    presence.run(stop).await;
    assert_eq!(
        world.told().len(),
        3,
        "the start of the node, and two of five"
    );
    assert_eq!(world.metrics.dropped.get(), 3);
    assert_eq!(world.metrics.events.get(), 6);
}
