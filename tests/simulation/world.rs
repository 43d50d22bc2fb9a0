//! What a run is made of.

pub(crate) mod callers;
pub(crate) mod clients;
pub(crate) mod node;
pub(crate) mod time;
pub(crate) mod wires;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_conformance::cases::world::time::Quiet;
use linkgate_core::cluster::registry::MemoryRegistry;
use linkgate_core::edges::directory::memory::MemoryDirectory;
use linkgate_core::network::MemoryNetwork;
use linkgate_filter::Clock;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use self::callers::Pushed;
use self::clients::{Acknowledged, Link, Phase};
use self::node::{Process, Setup};
use self::time::{TICK, Time};
use self::wires::Wires;

/// What happened, line by line.
#[derive(Clone)]
pub(crate) struct Trace {
    time: Arc<Time>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn say(&self, what: impl AsRef<str>) {
        let line = format!("{:>7} {}", self.time.ms(), what.as_ref());
        tracing::info!(target: "world", "{line}");
        self.lines.lock().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}

/// Where clients connect: by the index of the node, its process and address.
pub(crate) type Doors = Arc<Mutex<BTreeMap<usize, (u32, SocketAddr)>>>;

/// A run.
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) trace: Trace,
    pub(crate) registry: MemoryRegistry,
    pub(crate) directory: MemoryDirectory,
    pub(crate) wires: Wires,
    pub(crate) doors: Doors,
    pub(crate) phase: watch::Sender<Phase>,
    /// All links that were ever served.
    pub(crate) links: Arc<Mutex<Vec<Link>>>,
    /// All acknowledgements.
    pub(crate) acknowledged: Acknowledged,
    /// All pushes.
    pub(crate) pushes: Arc<Mutex<Vec<Pushed>>>,
    /// By the index of their node.
    pub(crate) processes: BTreeMap<usize, Process>,
    started: u32,
    pub(crate) runtime: Runtime,
    quiet: Quiet,
}

impl World {
    pub(crate) fn new() -> Self {
        let (runtime, quiet) = Quiet::runtime().unwrap();
        let time = Arc::new(runtime.block_on(async { Time::begin() }));
        let trace = Trace {
            time: Arc::clone(&time),
            lines: Arc::default(),
        };
        let wires = Wires::new(MemoryNetwork::default(), runtime.handle().clone());
        Self {
            registry: MemoryRegistry::with_clock(1, Arc::clone(&time) as _),
            directory: MemoryDirectory::new(Arc::clone(&time) as _, 100_000),
            time,
            trace,
            wires,
            doors: Doors::default(),
            phase: watch::Sender::new(Phase::Storm),
            links: Arc::default(),
            acknowledged: Acknowledged::default(),
            pushes: Arc::default(),
            processes: BTreeMap::new(),
            started: 0,
            runtime,
            quiet,
        }
    }

    /// Starts a process of a node, whose clock is so much as fast as the world's.
    pub(crate) fn start(&mut self, node: usize, rate: f64) {
        self.started += 1;
        let process = Process::start(Setup {
            node,
            number: self.started,
            rate,
            time: &self.time,
            registry: self.registry.handle(),
            directory: Arc::new(self.directory.of_another_node()),
            wires: &self.wires,
        });
        let number = process.number;
        self.trace
            .say(format!("node {node} starts as process {number}"));
        self.doors.lock().insert(node, (number, process.listener));
        self.processes.insert(node, process);
    }

    /// The process of a node is no more, at once.
    pub(crate) fn kill(&mut self, node: usize) {
        self.doors.lock().remove(&node);
        if let Some(process) = self.processes.remove(&node) {
            self.wires.is_gone(process.peer);
            self.ends_links_of(process.number);
            process.kill();
        }
    }

    /// Processes end by themselves. One whose id another one has is started again, as what runs it does.
    fn reap(&mut self) {
        let done = self.processes.iter();
        let done = done.filter(|(_, process)| process.has_stopped() || process.is_taken());
        let done: Vec<(usize, bool)> = done
            .map(|(node, process)| (*node, process.is_taken() && !process.stops()))
            .collect();
        for (node, is_taken) in done {
            self.trace.say(format!(
                "node {node} has ended, as another process has its id: {is_taken}"
            ));
            self.kill(node);
            if is_taken {
                self.start(node, 1.0);
            }
        }
    }

    /// Its clients may not know that yet.
    pub(crate) fn ends_links_of(&self, process: u32) {
        let now = self.time.ms();
        for link in self.links.lock().iter_mut() {
            if link.process == process {
                link.ended.get_or_insert(now);
            }
        }
    }

    /// Another moment passes.
    pub(crate) fn tick(&mut self) {
        self.time.pass();
        let quiet = &self.quiet;
        self.runtime.block_on(async {
            tokio::time::advance(TICK).await;
            quiet.settled().await;
        });
        for process in self.processes.values_mut() {
            process.run(TICK);
        }
        self.reap();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.time.now() + time;
        while self.time.now() < until {
            self.tick();
        }
    }
}
