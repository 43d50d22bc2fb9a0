//! A topic with one partition, its broker, and the links it pushes to.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use linkgate_filter::broker::{
    Broker, Consumer, Delivery, Event, Full, MemoryBroker, MemoryBrokerLimits, Partition, Record,
    Subscription,
};
use linkgate_filter::runner::Edges;
use linkgate_filter::{Clock, EdgeError, EdgeFailure};
use linkgate_proto::v1::PushReport;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::link::Journal;
use crate::outbox::Outlet;
use crate::pipeline::Standing;
use crate::push::config::{PushLimits, Routing, TopicSource};
use crate::push::metrics::PushMetrics;
use crate::push::receivers::Receivers;
use crate::push::report::Reporter;
use crate::push::router::Router;
use crate::push::testing::{Elsewhere, TestLink, TestLinks, clock};
use crate::push::topic::TopicPush;
use crate::readiness::{Held, Reasons};

pub(super) struct Rig {
    pub(super) broker: Arc<MemoryBroker>,
    links: Arc<TestLinks>,
    clock: Arc<dyn Clock>,
    config: TopicSource,
    routing: Routing,
    pub(super) limits: PushLimits,
    /// Of `chat`; there is no other business.
    standing: Arc<Mutex<Standing>>,
    metrics: PushMetrics,
    fails: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    wants_keys: Arc<AtomicBool>,
    moods: Moods,
    /// Whether `push.reports` is set.
    pub(super) reporting: bool,
    events: Events,
    reasons: Reasons,
}

/// What the broker does with records for a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Takes,
    /// It does not answer.
    Away,
    /// It wants a permission that may be granted.
    Denies,
    /// It will not have them, now or later.
    Refuses,
}

type Moods = Arc<Mutex<HashMap<String, Mood>>>;

/// What happens to a member of the group beside what its broker says.
type Events = Arc<Mutex<VecDeque<Event>>>;

pub(super) fn json(key: &str, user: &str) -> String {
    format!(r#"{{"key":"{key}","biz_id":"chat","receiver_id":"{user}","body":"aGk="}}"#)
}

pub(super) fn group(key: &str, users: &[&str]) -> String {
    format!(r#"{{"key":"{key}","biz_id":"chat","receiver_ids":{users:?},"body":"aGk="}}"#)
}

impl Rig {
    pub(super) fn new(config: &str) -> Self {
        Self::with(Routing::Local, config)
    }

    pub(super) fn broadcast(config: &str) -> Self {
        Self::with(Routing::Broadcast, config)
    }

    /// Other nodes read the topic too, and have users.
    pub(super) fn among_others(config: &str) -> Self {
        let rig = Self::with(Routing::Directory, config);
        rig.others().is_there();
        rig
    }

    pub(super) fn others(&self) -> &Elsewhere {
        &self.links.elsewhere
    }

    /// Where one waits for users to come.
    pub(super) fn journal(&self) -> &Arc<Journal> {
        self.links.journal()
    }

    fn with(routing: Routing, config: &str) -> Self {
        let config = format!("{{ broker: main, topic: pushes, group: g, {config} }}");
        let clock = clock();
        let limits = MemoryBrokerLimits {
            partitions: 1,
            records: 1000,
        };
        Self {
            broker: Arc::new(MemoryBroker::new(Arc::clone(&clock), limits)),
            links: Arc::default(),
            clock,
            config: serde_yaml::from_str(&config).unwrap(),
            routing,
            limits: PushLimits::default(),
            standing: Arc::new(Mutex::new(Standing::Served)),
            metrics: PushMetrics::default(),
            fails: Arc::default(),
            most: Arc::new(AtomicUsize::new(usize::MAX)),
            wants_keys: Arc::default(),
            moods: Arc::default(),
            reporting: true,
            events: Arc::default(),
            reasons: Reasons::default(),
        }
    }

    pub(super) fn connect(&self, user: &str) -> Arc<TestLink> {
        self.links.connect(user, None)
    }

    pub(super) fn connect_at(&self, user: &str, device: &str) -> Arc<TestLink> {
        self.links.connect(user, Some(device))
    }

    /// Reports that were written, as the metric says.
    pub(super) fn reports_metric(&self) -> u64 {
        self.metrics.reported.get()
    }

    /// How `chat` stands from now on.
    pub(super) fn stand(&self, standing: Standing) {
        *self.standing.lock() = standing;
    }

    /// How often links were looked for.
    pub(super) fn looked(&self) -> u64 {
        self.links.looked()
    }

    pub(super) fn remove(&self, link: &Arc<TestLink>) {
        self.links.remove(link);
    }

    pub(super) fn write(&self, payload: String) {
        self.write_record(Record {
            payload: payload.into(),
            ..Record::default()
        });
    }

    pub(super) fn write_record(&self, record: Record) {
        self.write_to("pushes", record);
    }

    pub(super) fn write_to(&self, topic: &str, record: Record) {
        let topic = topic.to_owned();
        drop(self.broker.send(Record { topic, ..record }).unwrap());
    }

    /// A push of `k` to ann, parked with these headers.
    pub(super) fn write_parked(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter();
        let headers = headers.map(|&(name, value)| (name.to_owned(), value.to_owned().into()));
        self.write_to(
            "pushes_parked",
            Record {
                payload: json("k", "ann").into(),
                headers: headers.collect(),
                ..Record::default()
            },
        );
    }

    /// The broker takes no record from a node whose texts are longer together.
    pub(super) fn broker_takes_at_most(&self, bytes: usize) {
        self.most.store(bytes, Ordering::Relaxed);
    }

    /// Whether the broker takes records without a key, as compacted topics do not.
    pub(super) fn broker_takes_keyless(&self, takes: bool) {
        self.wants_keys.store(!takes, Ordering::Relaxed);
    }

    pub(super) fn refused_writes(&self) -> u64 {
        self.metrics.refused_writes.get()
    }

    /// What the broker does from now on with records for a topic.
    pub(super) fn mood(&self, topic: &str, mood: Mood) {
        self.moods.lock().insert(topic.to_owned(), mood);
    }

    /// A node that reads the topic.
    pub(super) fn read(&self) -> Reader {
        let links = Arc::clone(&self.links) as _;
        let (clock, metrics) = (Arc::clone(&self.clock), self.metrics.clone());
        let router = Router::new(links, clock, &self.limits, metrics);
        let standing = Arc::clone(&self.standing);
        let router = router.for_businesses(Arc::new(move |biz_id| match biz_id {
            "chat" => *standing.lock(),
            _ => Standing::Unknown,
        }));
        let broker = Arc::new(Failing {
            broker: Arc::clone(&self.broker),
            fails: Arc::clone(&self.fails),
            most: Arc::clone(&self.most),
            wants_keys: Arc::clone(&self.wants_keys),
            moods: Arc::clone(&self.moods),
            events: Arc::clone(&self.events),
        });
        let reporter = Reporter::new(
            Outlet::topic(&(Arc::clone(&broker) as _), "reports"),
            "node",
        );
        let edges = Edges::new().with_broker("main", broker);
        let topic = TopicPush::subscribe(
            &self.config,
            self.routing,
            (&edges, "node"),
            router,
            self.reporting.then_some(reporter),
        );
        let (unreadable, others) = (self.reasons.reason(false), self.reasons.reason(true));
        let topic = topic
            .unwrap()
            .with_reasons(Arc::new(unreadable), Arc::new(others));
        let stop = CancellationToken::new();
        let task = tokio::spawn(topic.serve(stop.clone()));
        Reader { task, stop }
    }

    /// Waits for something to become true.
    pub(super) async fn until(&self, mut is_true: impl FnMut() -> bool) {
        for _ in 0..200_000 {
            if is_true() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it did not come to that; reports: {:?}", self.reports());
    }

    /// Lets what is ready to run do so.
    pub(super) async fn settle_in(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn all_reports(&self) -> Vec<PushReport> {
        let records = self.broker.records("reports");
        let read = |record: &Record| serde_json::from_slice(&record.payload).unwrap();
        records.iter().map(read).collect()
    }

    /// `key user STATUS attempts` of each report, in order.
    pub(super) fn reports(&self) -> Vec<String> {
        let line = |report: &PushReport| {
            let status = report.status().as_str_name();
            let (key, user) = (&report.key, &report.receiver_id);
            format!("{key} {user} {status} {}", report.attempts)
        };
        self.all_reports().iter().map(line).collect()
    }

    /// The reports of one push for one receiver.
    pub(super) fn reports_of(&self, id: &str) -> Vec<PushReport> {
        let mut reports = self.all_reports();
        reports.retain(|report| report.id == id);
        reports
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        let reports = self.all_reports();
        reports.into_iter().map(|report| report.id).collect()
    }

    /// Up to where the group is done.
    pub(super) fn done(&self) -> Option<i64> {
        self.done_of("pushes")
    }

    /// Up to where the group is done with a topic.
    pub(super) fn done_of(&self, topic: &str) -> Option<i64> {
        self.broker.progress(self.group(), topic).get(&0).copied()
    }

    pub(super) fn group(&self) -> &'static str {
        match self.routing {
            Routing::Local | Routing::Directory => "g",
            Routing::Broadcast => "g-node",
        }
    }

    pub(super) fn held(&self) -> i64 {
        self.metrics.held.get()
    }

    /// What `/readyz` would tell.
    pub(super) fn reasons(&self) -> Held {
        self.reasons.held()
    }

    /// The partitions that others read, as the metric says.
    pub(super) fn elsewhere(&self) -> i64 {
        self.metrics.read_by_others("pushes").get()
    }

    pub(super) fn unsettled_metric(&self) -> i64 {
        self.metrics.unsettled.get()
    }

    /// How often a partition did not go on where it stopped.
    pub(super) fn resets(&self) -> u64 {
        self.metrics.resets.get()
    }

    /// Records that were read again and were settled already.
    pub(super) fn known(&self) -> u64 {
        self.metrics.known.get()
    }

    /// Has the reader hear what it was told.
    pub(super) async fn write_to_parked_and_wait(&self) {
        let topic = "pushes_parked".to_owned();
        let payload = "no push".into();
        let record = Record {
            topic,
            payload,
            ..Record::default()
        };
        drop(self.broker.send(record).unwrap());
        self.settle_in().await;
    }

    /// Another event for the reader, which it hears of after the next record.
    pub(super) fn tell(&self, event: Event) {
        self.events.lock().push_back(event);
    }

    /// The partition of the topic.
    pub(super) fn partition(&self) -> Partition {
        Partition {
            topic: "pushes".into(),
            number: 0,
        }
    }

    /// The broker takes no record, or takes them again.
    pub(super) fn broker_fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

pub(super) struct Reader {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Reader {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends at once, as a process does that is killed.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

struct Failing {
    broker: Arc<MemoryBroker>,
    fails: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    wants_keys: Arc<AtomicBool>,
    moods: Moods,
    events: Events,
}

impl Broker for Failing {
    fn send(&self, record: Record) -> Result<Delivery, Full> {
        if self.fails.load(Ordering::Relaxed) {
            let error = EdgeError::new(EdgeFailure::TimedOut, "no answer").effect_unknown();
            return Ok(Box::pin(ready(Err(error))));
        }
        let mood = self.moods.lock().get(&record.topic).copied();
        let error = match mood.unwrap_or_default() {
            Mood::Takes => None,
            Mood::Away => Some(EdgeError::new(EdgeFailure::TimedOut, "no answer").effect_unknown()),
            Mood::Denies => Some(EdgeError::new(EdgeFailure::Unreachable, "not allowed")),
            Mood::Refuses => Some(EdgeError::new(EdgeFailure::Refused, "no key")),
        };
        let lacks_key = record.key.is_empty() && self.wants_keys.load(Ordering::Relaxed);
        let refused = || EdgeError::new(EdgeFailure::Refused, "no key");
        if let Some(error) = error.or_else(|| lacks_key.then(refused)) {
            return Ok(Box::pin(ready(Err(error))));
        }
        let headers = record.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        if record.key.len() + record.payload.len() + headers > self.most.load(Ordering::Relaxed) {
            let error = EdgeError::new(EdgeFailure::Refused, "too large");
            return Ok(Box::pin(ready(Err(error))));
        }
        self.broker.send(record)
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        self.broker.room()
    }

    fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, EdgeError> {
        Ok(Box::new(Told {
            consumer: self.broker.subscribe(subscription)?,
            events: Arc::clone(&self.events),
        }))
    }
}

/// A member that is told more than its broker says.
struct Told {
    consumer: Box<dyn Consumer>,
    events: Events,
}

impl Consumer for Told {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(async {
            let told = self.events.lock().pop_front();
            match told {
                Some(event) => event,
                None => self.consumer.next().await,
            }
        })
    }

    fn done(&mut self, partition: &Partition, offset: i64) {
        self.consumer.done(partition, offset);
    }

    fn pause(&mut self, partition: &Partition) {
        self.consumer.pause(partition);
    }

    fn resume(&mut self, partition: &Partition) {
        self.consumer.resume(partition);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.consumer.close()
    }
}
