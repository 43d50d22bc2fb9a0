//! The filter in its chain: what it holds, what it lets go on, what clients hear. In virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linkgate_filter::backend::Backends;
use linkgate_filter::problem::Problems;
use linkgate_filter::runner::{Edges, Limits};
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{
    Command, Context, Deserialize, Fact, Filter, FilterType, JsonSchema, Message, Never, Open,
    Outcome, Prepare, Properties, Registry, Settle, Verdict, schemars,
};
use linkgate_grpc::{Connector, with_connector};
use linkgate_proto::v1::batch_result::Outcome as Said;
use linkgate_proto::v1::{
    BatchOnReceiveRequest, BatchOnReceiveResponse, BatchResult, OnReceiveRequest,
};
use serde_json::json;

use super::memory::{Backend, Memory, answer};
use crate::GrpcUpstream;

/// Answers the client with what became of its message.
struct Answering;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
struct NoConfig {}

impl FilterType for Answering {
    const NAME: &'static str = "answering";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(NoConfig {}: NoConfig, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::DECODED)
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Answering {
    type Token = Message;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let copy = m.copy();
        cx.track(&mut m, copy);
        Verdict::Next(m)
    }

    fn settled(&mut self, mut m: Message, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        match outcome.fault() {
            None => m.command = Some(Command::UpstreamAck),
            Some(fault) => m = Message::nack(m.link, m.key, fault.clone()),
        }
        cx.downstream(m);
        Settle::Next(outcome)
    }
}

fn entries(config: &str) -> String {
    format!(
        "[{{ use: answering, config: {{}} }},
          {{ id: out, use: grpc_upstream, config: {{ backend: chat, {config} }} }}]"
    )
}

fn kit(backend: &Backend, config: &str) -> Testkit {
    kit_of(backend, &entries(config))
}

fn kit_of(backend: &Backend, entries: &str) -> Testkit {
    kit_over(&memory(backend), entries)
}

fn memory(backend: &Backend) -> Arc<Memory> {
    let memory = Arc::new(Memory::default());
    memory.serve("a:1", backend);
    memory
}

fn kit_over(memory: &Arc<Memory>, entries: &str) -> Testkit {
    let registry = Registry::new()
        .with::<GrpcUpstream>()
        .with::<Answering>()
        .with::<Pairs>();
    let grpc = json!({ "grpc": { "endpoints": ["a:1"] } });
    let backends = Backends::from([("chat".to_owned(), serde_json::from_value(grpc).unwrap())]);
    let connector: Arc<dyn Connector> = Arc::clone(memory) as _;
    let edges = with_connector(Edges::new(), &connector);
    Testkit::with_edges(registry, backends, Limits::default(), edges, entries)
}

/// A backend that takes `wait` for each message, and the most messages it ever had at work.
fn busy(wait: Duration) -> (Backend, Arc<AtomicUsize>) {
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&peak);
    let backend = Backend::new(move |request| {
        let (now, seen) = (Arc::clone(&now), Arc::clone(&seen));
        async move {
            let running = now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(wait).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(answer(request.body))
        }
    });
    (backend, peak)
}

async fn answers(link: &mut TestLink, count: usize) -> Vec<(Command, String)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let m = link.next().await;
        let code = m.fault.map_or(m.key, |fault| fault.code.into_owned());
        all.push((m.command.unwrap(), code));
    }
    all
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("k{n}")).collect()
}

fn acks(count: usize) -> Vec<(Command, String)> {
    let ack = |key| (Command::UpstreamAck, key);
    keys(count).into_iter().map(ack).collect()
}

#[tokio::test(start_paused = true)]
async fn one_call_at_a_time_keeps_the_order_of_a_link() {
    let (backend, peak) = busy(Duration::from_millis(100));
    let kit = kit(&backend, "");
    let mut link = kit.link("alice");
    for key in keys(5) {
        link.business(&key, "x");
    }
    assert_eq!(answers(&mut link, 5).await, acks(5));
    assert_eq!(backend.keys(), keys(5));
    assert_eq!(peak.load(Ordering::SeqCst), 1);
    let events = kit.own().slots()[1].meter().events();
    assert!(
        events.contains(&("calls", 5)) && events.contains(&("held", 4)),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn links_do_not_wait_for_each_other() {
    let (backend, peak) = busy(Duration::from_millis(100));
    let kit = kit(&backend, "");
    let mut links: Vec<_> = (0..4).map(|n| kit.link(&format!("user{n}"))).collect();
    for link in &mut links {
        link.business("k0", "x");
        link.run().await;
    }
    for link in &mut links {
        assert_eq!(answers(link, 1).await, acks(1));
    }
    assert_eq!(peak.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn without_order_calls_are_bounded_all_the_same() {
    let (backend, peak) = busy(Duration::from_millis(100));
    let kit = kit(&backend, "ordering: none, max_in_flight_per_link: 3");
    let mut link = kit.link("alice");
    for key in keys(10) {
        link.business(&key, "x");
    }
    let mut all = answers(&mut link, 10).await;
    all.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(all, acks(10));
    assert_eq!(peak.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_holds_messages_and_gives_up_in_time() {
    let (backend, peak) = busy(Duration::from_millis(2500));
    let kit = kit(
        &backend,
        "max_in_flight: 1, try_timeout: 3s, deadline: 3s, retry: { max_attempts: 1 }",
    );
    let mut links = ["alice", "bob", "carol"].map(|user| kit.link(user));
    for link in &mut links {
        link.business("k0", "x");
        link.run().await;
    }
    let [alice, bob, carol] = &mut links;
    let (a, b, c) = tokio::join!(answers(alice, 1), answers(bob, 1), answers(carol, 1));
    assert_eq!((a, b), (acks(1), acks(1)));
    assert_eq!(c, [(Command::UpstreamNack, "grpc.overloaded".to_owned())]);
    assert_eq!(peak.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_makes_room_for_the_next() {
    let backend = Backend::new(|request| async move {
        match &*request.key {
            "k0" => Err(tonic::Status::invalid_argument("no")),
            _ => Ok(answer("")),
        }
    });
    let kit = kit(&backend, "");
    let mut link = kit.link("alice");
    for key in keys(2) {
        link.business(&key, "x");
    }
    let nack = (Command::UpstreamNack, "grpc.invalid_argument".to_owned());
    let ack = (Command::UpstreamAck, "k1".to_owned());
    assert_eq!(answers(&mut link, 2).await, [nack, ack]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_leaves_no_call_half_done() {
    let (backend, _) = busy(Duration::from_millis(100));
    let kit = kit(&backend, "");
    let mut link = kit.link("alice");
    for key in keys(2) {
        link.business(&key, "x");
    }
    link.run().await;
    link.disconnect();
    assert!(!link.is_finished());
    for _ in 0..6 {
        link.advance(Duration::from_millis(50)).await;
    }
    assert!(link.is_finished());
    assert_eq!(backend.keys(), keys(2));
    assert_eq!(kit.own().meter().faults(), []);
}

#[tokio::test(start_paused = true)]
async fn a_changed_pipeline_keeps_the_order_and_the_connection() {
    let (backend, peak) = busy(Duration::from_millis(100));
    let memory = memory(&backend);
    let kit = kit_over(&memory, &entries(""));
    let mut link = kit.link("alice");
    let keys = keys(4);
    for key in &keys[..2] {
        link.business(key, "x");
    }
    link.run().await;
    link.change(
        &kit.pipeline(&entries("deadline: 9s")),
        Duration::from_secs(10),
    );
    for key in &keys[2..] {
        link.business(key, "x");
    }
    assert_eq!(answers(&mut link, 4).await, acks(4));
    assert_eq!(backend.keys(), keys);
    assert_eq!(peak.load(Ordering::SeqCst), 1);
    assert_eq!(memory.connections("a:1"), 1);
}

/// Joins each two messages, of whatever link.
#[derive(Default)]
struct Pairs(Vec<Message>);

impl FilterType for Pairs {
    const NAME: &'static str = "pairs";
    type Config = NoConfig;
    type Filter = Self;

    fn prepare(NoConfig {}: NoConfig, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self::default())
    }

    fn properties(&self) -> Properties {
        Properties::new().joins_links()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self::default()
    }
}

impl Filter for Pairs {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        self.0.push(m);
        if self.0.len() < 2 {
            return Verdict::Done;
        }
        Message::joined(std::mem::take(&mut self.0)).map_or(Verdict::Done, Verdict::Next)
    }
}

fn accepted(request: BatchOnReceiveRequest) -> BatchOnReceiveResponse {
    let result = |(position, item): (u32, OnReceiveRequest)| BatchResult {
        position,
        key: item.key,
        outcome: Some(Said::Accepted(answer(item.body))),
    };
    BatchOnReceiveResponse {
        results: (0..).zip(request.items).map(result).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn joined_messages_need_no_turn_of_the_shard_but_a_place_among_all() {
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::clone(&peak);
    let backend = Backend::echo().with_batch(move |request| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            let running = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            accepted(request)
        }
    });
    let kit = kit_of(
        &backend,
        "[{ use: answering, config: {} }, { use: pairs, config: {} },
          { id: out, use: grpc_upstream, config: { backend: chat, max_in_flight: 3 } }]",
    );
    let mut link = kit.link("alice");
    for key in keys(10) {
        link.business(&key, "");
    }
    assert_eq!(answers(&mut link, 10).await, acks(10));
    assert_eq!(peak.load(Ordering::SeqCst), 3);
}
