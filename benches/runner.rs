//! What the chain runner costs: `cargo bench --bench runner`.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../contract/tests/common/plain.rs"]
mod plain;

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use linkgate_filter::runner::{Chains, Pipeline};
use linkgate_filter::testkit::Testkit;
use linkgate_filter::{Command, Identity, LinkInfo, Message};

const PASS: &str = "[{ id: a, use: pass }, { id: b, use: pass }, { id: c, use: pass }, { id: d, use: pass }, \
                     { id: e, use: pass }, { use: answer }]";
const RECEIPTS: &str = "[{ id: a, use: pass }, { id: b, use: receipts }, { id: c, use: pass }, \
                         { id: d, use: receipts }, { id: e, use: pass }, { use: answer }]";

/// A link, and one message that goes back and forth.
struct Bench {
    chains: Chains,
    message: Option<Message>,
}

impl Bench {
    fn new(pipeline: &Arc<Pipeline>) -> Self {
        let info = Arc::new(LinkInfo::new(1, Identity::new("chat", "alice")));
        let chains = Chains::open(pipeline, &info);
        let message = Message::new(
            info,
            Command::UpstreamMessage,
            "key",
            "a body of some length",
        );
        Self {
            chains,
            message: Some(message),
        }
    }

    fn round(&mut self) {
        self.chains.tick();
        if let Some(message) = self.message.take() {
            self.chains.upstream(black_box(message));
        }
        self.chains.poll(&mut Context::from_waker(Waker::noop()));
        let mut back = self.chains.next_outgoing().unwrap();
        back.command = Some(Command::UpstreamMessage);
        self.message = Some(back);
    }
}

fn runner(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let mut group = criterion.benchmark_group("runner");
    for (name, entries) in [
        ("five filters and back", PASS),
        ("with two receipts", RECEIPTS),
    ] {
        let kit = Testkit::new(plain::registry(), entries);
        let mut bench = Bench::new(kit.own());
        group.bench_function(name, |b| b.iter(|| bench.round()));
    }
    let kit = Testkit::new(plain::registry(), RECEIPTS);
    let others = [kit.pipeline(RECEIPTS), kit.pipeline(RECEIPTS)];
    let mut bench = Bench::new(kit.own());
    let mut turn = 0;
    group.bench_function("with a change-over before each message", |b| {
        b.iter(|| {
            turn += 1;
            bench
                .chains
                .change(&others[turn % 2], Duration::from_secs(30));
            bench.round();
        });
    });
    group.bench_function("open and drop a link's chain", |b| {
        b.iter(|| Bench::new(kit.own()));
    });
    group.finish();
}

criterion_group!(benches, runner);
criterion_main!(benches);
