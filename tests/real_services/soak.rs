//! Traffic in both directions while the configuration changes all the time: nothing is lost, nothing comes twice, no
//! socket closes, each link's order holds.
//!
//! Seconds with some links in a test run; `make soak` goes on for a minute with 2,000 (`LINKGATE_SOAK_SECONDS`,
//! `LINKGATE_SOAK_LINKS`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_decrypt::{Cipher, Part};
use linkgate_filter::Direction;
use linkgate_proto::v1::Command;
use linkgate_proto::v1::fault::Effect;
use linkgate_proto::v1::receiver_outcome::Status;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::common::backend::Backend;
use crate::common::client::Client;
use crate::common::gateway::{Gateway, target};
use crate::common::push::{Caller, push};
use crate::common::sealed::{cipher_with, place};
use crate::services::Kafka;
use crate::services::kafka::client;

const TOPIC: &str = "soak";
const PARTITIONS: i32 = 4;
/// Messages of a link without an answer.
const WINDOW: usize = 4;
const KEYS: [(&str, &str); 2] = [
    (
        "one",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
    (
        "two",
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
    ),
];

fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |set| set.parse().expect(variable))
}

/// The configurations that follow each other: changed limits, changed keys, batches on and off, a filter in front and one
/// behind, a service and a topic.
fn configs(backend: SocketAddr, kafka: SocketAddr) -> Vec<String> {
    let limit = |burst: u32| {
        format!("{{ use: rate_limit, config: {{ per: link, rate: 100000/s, burst: {burst} }} }}, ")
    };
    let dedup = "{ use: dedup, config: { store: main } }, ";
    let batch = "{ use: batch, config: { max_messages: 32, max_wait: 5ms } }, ";
    let grpc = "{ use: grpc_upstream, config: { backend: chat, try_timeout: 20s, deadline: 20s } }";
    let topic = format!("{{ use: mq_upstream, config: {{ broker: main, topic: {TOPIC} }} }}");
    let [(one, _), (two, _)] = KEYS;
    let chains = [
        (limit(10_000), one, "", "", grpc),
        (limit(20_000), two, "", "", grpc),
        (limit(20_000), two, "", batch, grpc),
        (String::new(), one, "", batch, grpc),
        (String::new(), one, dedup, batch, topic.as_str()),
        (limit(10_000), one, dedup, "", grpc),
    ];
    let config = |(limit, active, dedup, batch, end): (String, &str, &str, &str, &str)| {
        let ring = KEYS.map(|(id, key)| format!("{{ id: \"{id}\", key: {key} }}"));
        let ring = ring.join(", ");
        format!(
            "schema: 1
admin: {{ address: \"127.0.0.1:0\" }}
listeners:
  - name: public
    address: \"127.0.0.1:0\"
    auth: insecure_query
    admission: {{ per_ip: 100000, handshakes_per_ip: 1024 }}
stores: {{ main: {{ memory: {{}} }} }}
brokers: {{ main: {{ kafka: {{ bootstrap: \"{kafka}\" }} }} }}
backends: {{ chat: {{ grpc: {{ endpoints: [\"{backend}\"] }} }} }}
push: {{ sources: [{{ grpc: {{ address: \"127.0.0.1:0\" }} }}] }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      [{{ use: codec }}, {limit}{{ use: decrypt, config: {{ algorithm: aes_256_gcm, active: \"{active}\", keys: [{ring}] }} }},
       {{ use: ack_retry, config: {{ retry: {{ initial: 2s, max: 5s }} }} }}, {dedup}{batch}{end}]
"
        )
    };
    chains.into_iter().map(config).collect()
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    /// In the order sent.
    acked: Vec<String>,
    /// Refused without effect.
    refused: BTreeSet<String>,
    /// It may have had an effect.
    unknown: BTreeSet<String>,
    pushed: BTreeMap<String, u32>,
}

/// What those who drive the test want of the clients.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Traffic,
    /// Nothing new, and an end once all is answered.
    Rest,
}

struct User {
    client: Client,
    cipher: Cipher,
    name: String,
    sent: usize,
    open: BTreeSet<String>,
    seen: Seen,
}

impl User {
    async fn connect(address: SocketAddr, number: usize) -> Self {
        let name = format!("u{number}");
        Self {
            client: Client::connect(&target(address, &name)).await,
            cipher: cipher_with(&KEYS, &name),
            name,
            sent: 0,
            open: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    /// Sends and acknowledges until it is to rest. Panics if its socket closes.
    async fn run(mut self, mut want: watch::Receiver<Want>, pause: Duration) -> (String, Seen) {
        let mut turns = interval(pause);
        loop {
            let resting = *want.borrow_and_update() == Want::Rest;
            if resting && self.open.is_empty() {
                // Pushes that are still under way are acknowledged by now, as they settle before clients rest.
                self.client.close().await;
                return (self.name, self.seen);
            }
            tokio::select! {
                message = self.client.socket.next() => {
                    let message = message.unwrap_or_else(|e| panic!("{} was closed: {e}", self.name));
                    self.hear(message.unwrap()).await;
                }
                _ = turns.tick(), if !resting && self.open.len() < WINDOW => self.send().await,
                _ = want.changed(), if !resting => {}
            }
        }
    }

    async fn send(&mut self) {
        let key = format!("{}-{}", self.name, self.sent);
        self.sent += 1;
        let up = place(Direction::Upstream, Part::Message, &key);
        let sealed = self.cipher.seal(up, key.as_bytes()).unwrap();
        self.open.insert(key.clone());
        self.client.send(&key, sealed).await;
    }

    async fn hear(&mut self, message: linkgate_proto::v1::Message) {
        let key = message.key.clone();
        match message.cmd() {
            Command::DownstreamMessage => {
                let down = place(Direction::Downstream, Part::Message, &key);
                let body = self.cipher.open(down, &message.body).unwrap().clear;
                assert_eq!(body, format!("body of {key}").as_bytes());
                *self.seen.pushed.entry(key.clone()).or_default() += 1;
                self.client.ack(&key).await;
            }
            Command::UpstreamAck => {
                assert!(self.open.remove(&key), "{key} has one answer");
                self.seen.acked.push(key);
            }
            Command::UpstreamNack | Command::RateLimitExceeded => {
                assert!(self.open.remove(&key), "{key} has one answer");
                let fault = message.fault.unwrap();
                let kept = match fault.effect() {
                    Effect::Unknown => &mut self.seen.unknown,
                    _ => &mut self.seen.refused,
                };
                kept.insert(key);
            }
            other => panic!("{other:?} for {key}"),
        }
    }
}

/// What the topic holds: the keys of each user, in order.
async fn read_topic(kafka: SocketAddr) -> HashMap<String, Vec<String>> {
    let consumer: StreamConsumer = client(kafka)
        .set("group.id", TOPIC)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let begin = Offset::Beginning;
        all.add_partition_offset(TOPIC, partition, begin).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    // Everything was confirmed before: a pause says that it was the last.
    while let Ok(Ok(record)) = timeout(Duration::from_secs(5), consumer.recv()).await {
        let header = |name: &str| {
            let mut headers = record.headers().unwrap().iter();
            let found = headers.find(|header| header.key == name).unwrap();
            String::from_utf8(found.value.unwrap().to_vec()).unwrap()
        };
        let keys = found.entry(header("linkgate-user-id")).or_default();
        keys.push(header("linkgate-key"));
    }
    found
}

/// The number behind the name in a key.
fn position(key: &str) -> usize {
    key.rsplit('-').next().unwrap().parse().unwrap()
}

fn assert_in_order(keys: &[String], what: &str) {
    let ordered = keys.is_sorted_by(|one, other| position(one) < position(other));
    assert!(ordered, "{what} out of order or twice: {keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_traffic_lose_and_double_nothing() {
    let Some(kafka) = Kafka::shared().await else {
        return;
    };
    Kafka::topic(kafka, TOPIC, PARTITIONS).await;
    let links = number("LINKGATE_SOAK_LINKS", 200) as usize;
    let lasts = Duration::from_secs(number("LINKGATE_SOAK_SECONDS", 5));
    let backend = Backend::start().await;
    let configs = configs(backend.address(), kafka);
    let gateway = Arc::new(Gateway::start(&configs[0]).await);

    let (wants, want) = watch::channel(Want::Traffic);
    let mut users = JoinSet::new();
    // About 2,000 messages a second in all.
    let pause = Duration::from_micros(500 * links as u64);
    for number in 0..links {
        let user = User::connect(gateway.address(), number).await;
        users.spawn(user.run(want.clone(), pause));
    }

    let end = Instant::now() + lasts;
    let changing = async {
        let (mut turns, mut changes) = (interval(Duration::from_millis(50)), 0);
        while Instant::now() < end {
            turns.tick().await;
            changes += 1;
            gateway.change(&configs[changes % configs.len()]);
        }
        changes
    };
    let caller = Caller::new(gateway.push_address());
    let pushing = async {
        let mut pushes = JoinSet::new();
        let mut number = 0;
        while Instant::now() < end {
            number += 1;
            let (caller, user) = (caller.clone(), format!("u{}", number % links));
            pushes.spawn(async move {
                let key = format!("p-{number}");
                let outcome = caller.push_one(push(&key, &[&user])).await;
                (key, user, outcome.status())
            });
            sleep(Duration::from_millis(5)).await;
        }
        pushes.join_all().await
    };
    let (changes, pushed) = tokio::join!(changing, pushing);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("linkgate_links_closed_total", &[]), 0);
    assert_eq!(metrics.links() as usize, links);
    wants.send_replace(Want::Rest);
    let seen: HashMap<String, Seen> = users.join_all().await.into_iter().collect();

    let mut by_service: HashMap<String, Vec<String>> = HashMap::new();
    for call in backend.calls() {
        by_service.entry(call.user_id).or_default().push(call.key);
    }
    let by_topic = read_topic(kafka).await;
    let (mut acked, mut refused, mut unknown) = (0, 0, 0);
    for (name, seen) in &seen {
        let [service, topic] = [&by_service, &by_topic].map(|by| {
            let keys = by.get(name).cloned().unwrap_or_default();
            assert_in_order(&keys, name);
            keys.into_iter().collect::<BTreeSet<_>>()
        });
        assert!(
            service.is_disjoint(&topic),
            "{name}: a message went both ways"
        );
        let there: BTreeSet<String> = service.union(&topic).cloned().collect();
        for key in &seen.acked {
            assert!(there.contains(key), "{key} is acknowledged and lost");
        }
        for key in &seen.refused {
            assert!(
                !there.contains(key),
                "{key} is refused and there all the same"
            );
        }
        let known: BTreeSet<_> = seen.acked.iter().chain(&seen.unknown).cloned().collect();
        assert!(
            there.is_subset(&known),
            "{name}: unanswered messages are there"
        );
        acked += seen.acked.len();
        refused += seen.refused.len();
        unknown += seen.unknown.len();
    }
    for (key, user, status) in &pushed {
        assert_eq!(*status, Status::Delivered, "{key}");
        assert!(seen[user].pushed.contains_key(key), "{key} never came");
    }
    eprintln!(
        "soak: {links} links, {changes} changes, {acked} messages acknowledged, {refused} refused, {unknown} unknown, \
         {} pushes delivered",
        pushed.len()
    );
    assert!(acked > links && changes > 10 && !pushed.is_empty());
    assert_eq!(unknown, 0, "nothing failed");
}
