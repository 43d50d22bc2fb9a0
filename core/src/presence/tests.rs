//! What a topic in memory is told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::broker::{
    Broker, Consumer, Delivery, Full, MemoryBroker, MemoryBrokerLimits, Record, Subscription,
    deliver,
};
use linkgate_filter::{Clock, EdgeError, Identity, LinkInfo};
use linkgate_proto::v1::PresenceEvent;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Presence, PresenceMetrics};
use crate::clock::SystemClock;
use crate::link::{Before, Journal};
use crate::outbox::Outlet;

struct World {
    journal: Arc<Journal>,
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
            journal: Arc::default(),
            broker: Arc::new(MemoryBroker::new(Arc::clone(&clock), limits)),
            clock,
            metrics: PresenceMetrics::default(),
        }
    }

    fn presence(&self, max_queued: usize) -> Presence {
        let broker = Arc::clone(&self.broker) as _;
        self.presence_at(&broker, max_queued)
    }

    fn presence_at(&self, broker: &Arc<dyn Broker>, max_queued: usize) -> Presence {
        let outlet = Outlet::topic(broker, "presence");
        let read = |backlog| self.journal.read(backlog);
        Presence::new(outlet, max_queued, ("n1", &self.clock), &self.metrics, read)
    }

    /// A link of alice comes, who had so many before.
    fn comes(&self, id: u64, before: usize) {
        let before = || Before {
            links: before,
            ..Before::default()
        };
        self.journal.came(&link(id), before);
    }

    fn goes(&self, id: u64, before: usize) {
        self.journal.went(&link(id), true, || before);
    }

    /// Tells what there is, and no more.
    async fn run(presence: Presence) {
        let stop = CancellationToken::new();
        stop.cancel();
        presence.run(stop).await;
    }

    fn told(&self) -> Vec<PresenceEvent> {
        let records = self.broker.records("presence");
        let read = |record: &Record| serde_json::from_slice(&record.payload).unwrap();
        records.iter().map(read).collect()
    }
}

fn link(id: u64) -> Arc<LinkInfo> {
    let identity = Identity::new("chat", "alice").at_device("phone");
    Arc::new(LinkInfo::new(id, identity))
}

/// `ONLINE 1`, for each event with the user's links after it.
fn lines(told: &[PresenceEvent]) -> Vec<String> {
    let line = |event: &PresenceEvent| format!("{} {}", event.kind().as_str_name(), event.links);
    told.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn events_are_told_in_their_order_behind_the_start_of_the_node() {
    let world = World::new();
    let presence = world.presence(100);
    world.comes(1, 0);
    let stop = CancellationToken::new();
    let running = tokio::spawn(presence.run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.goes(1, 1);
    world.comes(2, 0);
    stop.cancel();
    running.await.unwrap();

    let told = world.told();
    assert_eq!(
        lines(&told),
        ["NODE_STARTED 0", "ONLINE 1", "OFFLINE 0", "ONLINE 1"]
    );
    assert!(told.is_sorted_by(|one, other| one.sequence < other.sequence));
    assert!(told.iter().all(|event| event.node == "n1" && event.at > 0));
    let online = &told[1];
    assert_eq!((&*online.biz_id, &*online.user_id), ("chat", "alice"));
    assert_eq!(online.device_id.as_deref(), Some("phone"));
    assert_eq!(online.link_id, told[2].link_id);
    assert_ne!(online.link_id, told[3].link_id);
    assert_eq!(world.metrics.waiting.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_goes_on_counting() {
    let world = World::new();
    let presence = world.presence(100);
    world.comes(1, 0);
    World::run(presence).await;
    let last = world.told().last().unwrap().sequence;
    tokio::time::sleep(Duration::from_millis(10)).await;
    World::run(world.presence(100)).await;
    let started = world.told().pop().unwrap();
    assert!(
        started.sequence > last,
        "so that what it said before is over"
    );
}

/// Confirms nothing until it is open.
struct Shut {
    broker: Arc<dyn Broker>,
    is_open: watch::Receiver<bool>,
}

impl Broker for Shut {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        let (broker, mut is_open) = (Arc::clone(&self.broker), self.is_open.clone());
        Ok(Box::pin(async move {
            is_open.wait_for(|is_open| *is_open).await.unwrap();
            deliver(&broker, record).await
        }))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        self.broker.room()
    }

    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        self.broker.subscribe(subscription)
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_waits_for_nobody_longer_than_a_second() {
    let world = World::new();
    let (_open, is_open) = watch::channel(false);
    let shut: Arc<dyn Broker> = Arc::new(Shut {
        broker: Arc::clone(&world.broker) as _,
        is_open,
    });
    let presence = world.presence_at(&shut, 1);
    world.comes(1, 0);
    let begun = Instant::now();
    World::run(presence).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(world.metrics.waiting.get(), 0, "nobody waits any more");
    assert_eq!(world.metrics.behind.users.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_waits_as_a_difference() {
    let world = World::new();
    let (open, is_open) = watch::channel(false);
    let shut: Arc<dyn Broker> = Arc::new(Shut {
        broker: Arc::clone(&world.broker) as _,
        is_open,
    });
    let presence = world.presence_at(&shut, 3);
    let stop = CancellationToken::new();
    let running = tokio::spawn(presence.run(stop.clone()));
    let pass = || tokio::time::sleep(Duration::from_millis(1));
    pass().await;
    for id in 1..=3 {
        world.comes(id, id as usize - 1);
        pass().await;
    }
    world.comes(4, 3);
    world.comes(5, 4);
    world.goes(4, 5);
    world.goes(1, 4);
    pass().await;
    let behind = &world.metrics.behind;
    assert_eq!((behind.users.get(), behind.unseen.get()), (1, 1));
    assert_eq!(world.metrics.waiting.get(), 4, "one of them is being told");

    open.send(true).unwrap();
    pass().await;
    assert_eq!(behind.users.get(), 0);
    stop.cancel();
    running.await.unwrap();
    let told = world.told();
    let came = ["ONLINE 1", "ONLINE 2", "ONLINE 3"];
    let then = ["ONLINE 4", "OFFLINE 3"];
    assert_eq!(
        lines(&told),
        [&["NODE_STARTED 0"][..], &came, &then].concat()
    );
    let id = |event: &PresenceEvent| event.link_id.clone();
    assert_eq!(id(&told[5]), id(&told[1]), "it is the first that has gone");
    assert!(
        told[4].at < told[0].at + 10,
        "when it came, not when it was told"
    );
}
