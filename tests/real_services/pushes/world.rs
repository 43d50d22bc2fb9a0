//! Topics, users who acknowledge and users who do not, and gateways in processes of their own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linkgate_client::{Event, Options, Session, Target};
use linkgate_proto::v1::PushReport;
use linkgate_proto::v1::receiver_outcome::Status;
use parking_lot::Mutex;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::common::client::Client;
use crate::common::gateway::target;
use crate::common::process::Process;
use crate::services::kafka::client;
use crate::services::{Kafka, free_address};

/// What a test may take in all on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(240);

pub(super) struct World {
    kafka: SocketAddr,
    name: &'static str,
    users: usize,
    pub(super) offline_after: Duration,
    /// Where gateways listen, one after the other.
    address: SocketAddr,
    /// How often each key has come.
    delivered: Arc<Mutex<HashMap<String, u32>>>,
    reports: Arc<Mutex<BTreeMap<String, Vec<PushReport>>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl World {
    /// Topics of this name, and whoever reads the reports.
    pub(super) async fn new(kafka: SocketAddr, name: &'static str, users: usize) -> Self {
        for topic in ["", "_parked", "_dead", "_reports"] {
            Kafka::topic(kafka, &format!("{name}{topic}"), 4).await;
        }
        let world = Self {
            kafka,
            name,
            users,
            offline_after: Duration::from_secs(60),
            address: free_address(),
            delivered: Arc::default(),
            reports: Arc::default(),
            tasks: Mutex::default(),
        };
        world.read_reports();
        world
    }

    fn read_reports(&self) {
        let consumer: StreamConsumer = client(self.kafka)
            .set("group.id", "reports")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer
            .subscribe(&[&format!("{}_reports", self.name)])
            .unwrap();
        let reports = Arc::clone(&self.reports);
        self.tasks.lock().push(tokio::spawn(async move {
            loop {
                // An outage is what some of the tests are about.
                let Ok(record) = consumer.recv().await else {
                    continue;
                };
                let report: PushReport = serde_json::from_slice(record.payload().unwrap()).unwrap();
                reports
                    .lock()
                    .entry(report.key.clone())
                    .or_default()
                    .push(report);
            }
        }));
    }

    /// The configuration of a gateway.
    fn yaml(&self, node: &str) -> String {
        let (kafka, name) = (self.kafka, self.name);
        let offline_after = self.offline_after.as_secs();
        let address = if node == "two" {
            free_address()
        } else {
            self.address
        };
        format!(
            "schema: 1
node: {{ id: {node} }}
listeners: [{{ name: public, address: \"{address}\", auth: insecure_query, admission: {{ handshakes_per_ip: 1024 }} }}]
brokers:
  main: {{ kafka: {{ bootstrap: \"{kafka}\", properties: {{ session.timeout.ms: \"6000\" }} }} }}
push:
  sources:
    - kafka:
        broker: main
        topic: {name}
        group: {name}
        max_unsettled: 1000
        offline_after: {offline_after}s
        retry_after: 1s
        release_within: 2s
  reports: {{ kafka: {{ broker: main, topic: {name}_reports }} }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      - {{ use: codec }}
      - {{ use: ack_retry, config: {{ retry: {{ initial: 5s }} }} }}
      - {{ use: echo }}
"
        )
    }

    /// Connects all users, who acknowledge and come back when they are cut off.
    pub(super) async fn connect(&self, address: SocketAddr) {
        let options = Options {
            backoff: Duration::from_millis(50),
            ..Options::default()
        };
        for number in 0..self.users {
            let target: Target = target(address, &format!("user{number}"));
            let (session, mut events) = Session::start(target, options);
            while !matches!(events.recv().await, Some(Event::Connected { .. })) {}
            let delivered = Arc::clone(&self.delivered);
            self.tasks.lock().push(tokio::spawn(async move {
                let _session = session;
                while let Some(event) = events.recv().await {
                    if let Event::Push { key, .. } = event {
                        *delivered.lock().entry(key).or_default() += 1;
                    }
                }
            }));
        }
    }

    /// Connects users who read and never acknowledge.
    pub(super) async fn connect_sleepers(&self, address: SocketAddr, number: usize) {
        for number in 0..number {
            let sleeper = target(address, &format!("sleeper{number}"));
            let mut sleeper = Client::try_connect(&sleeper).await.unwrap();
            self.tasks.lock().push(tokio::spawn(async move {
                while sleeper.next().await.is_ok() {}
            }));
        }
    }

    /// Writes pushes with these numbers, to one user after another.
    pub(super) async fn write(&self, numbers: Range<usize>) {
        let users = self.users;
        self.produce(
            numbers.map(|number| (format!("k{number}"), format!("user{}", number % users))),
        )
        .await;
    }

    /// Writes so many pushes to each sleeper.
    pub(super) async fn write_to_sleepers(&self, each: usize) {
        let pushes = (0..each * 1000)
            .map(|number| (format!("s{number}"), format!("sleeper{}", number % 1000)));
        self.produce(pushes).await;
    }

    async fn produce(&self, pushes: impl Iterator<Item = (String, String)>) {
        let producer: FutureProducer = client(self.kafka)
            .set("message.timeout.ms", "120000")
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let topic = self.name;
        let mut under_way = Vec::new();
        for (key, user) in pushes {
            let payload = format!(
                r#"{{"key":"{key}","biz_id":"chat","receiver_id":"{user}","body":"aGk="}}"#
            );
            let record = FutureRecord::to(topic).key(&user).payload(&payload);
            match producer.send_result(record) {
                Ok(delivery) => under_way.push(delivery),
                Err((error, _)) => panic!("{error}"),
            }
            if under_way.len() >= 1000 {
                for delivery in under_way.drain(..) {
                    delivery.await.unwrap().unwrap();
                }
            }
        }
        for delivery in under_way {
            delivery.await.unwrap().unwrap();
        }
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        let looked = async {
            while !holds() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, looked).await.is_err() {
            let (delivered, reports) = (self.delivered.lock().len(), self.reports.lock().len());
            panic!("{what}: not in time; {delivered} delivered, {reports} reported");
        }
        begun.elapsed()
    }

    /// Waits until so many keys have come.
    pub(super) async fn has_delivered(&self, number: usize) {
        self.until("some are delivered", || {
            self.delivered.lock().len() >= number
        })
        .await;
    }

    /// Waits until all pushes have come; how long that took.
    pub(super) async fn all_is_delivered(&self, number: usize) -> Duration {
        self.until("all are delivered", || {
            self.delivered.lock().len() >= number
        })
        .await
    }

    /// Each push has come at least once, and is reported as delivered in the end. Gives how many came, and were reported, more
    /// than once.
    pub(super) async fn all_is_reported_delivered(&self, number: usize) -> (u32, usize) {
        self.all_is_delivered(number).await;
        self.until("all are reported", || self.reports.lock().len() >= number)
            .await;
        let (delivered, reports) = (self.delivered.lock(), self.reports.lock());
        let mut twice = 0;
        for number in 0..number {
            let key = format!("k{number}");
            let own = &reports[&key];
            let is_delivered = |report: &PushReport| report.status() == Status::Delivered;
            assert!(own.iter().any(is_delivered), "{key}: {own:?}");
            twice += delivered[&key] - 1;
        }
        let again = reports.values().map(Vec::len).sum::<usize>() - reports.len();
        println!(
            "{}: of {number} pushes {twice} came twice, {again} were reported twice",
            self.name
        );
        (twice, again)
    }
}

impl World {
    /// How the reports of a push say that it ended.
    pub(super) fn reported(&self, key: &str) -> Vec<Status> {
        let reports = self.reports.lock();
        let own = reports.get(key).into_iter().flatten();
        own.map(PushReport::status).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

/// A gateway in a process of its own.
pub(super) struct Gateway {
    process: Process,
    address: SocketAddr,
}

impl Gateway {
    pub(super) async fn start(world: &World, node: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), world.yaml(node)).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_linkgate"));
        let mut process = Process::start(program, folder.path(), &["run", "gateway.yaml"]);
        let address = process.address("accepting links").await;
        Self { process, address }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as if its power had gone.
    pub(super) fn kill(self) {
        drop(self.process);
    }

    /// Ends it as an operator does.
    pub(super) async fn stop(self) {
        self.process.terminate();
        let (code, log) = self.process.exit().await;
        assert_eq!(code, Some(0), "{log:#?}");
    }
}
