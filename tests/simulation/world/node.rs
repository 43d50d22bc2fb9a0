//! A process of a node.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_conformance::cases::world::time::Quiet;
use linkgate_core::cluster::registry::{RegistryHandle, Way};
use linkgate_core::cluster::{Reporter, Standing};
use linkgate_core::config::{self, Config};
use linkgate_core::edges::config::{BrokerConfig, StoreConfig};
use linkgate_core::edges::directory::Directory;
use linkgate_core::edges::directory::memory::{Fault, MemoryDirectory};
use linkgate_core::edges::{AsConfigured, Opener};
use linkgate_core::network::Network;
use linkgate_core::node::{Node, Outside};
use linkgate_core::program::Program;
use linkgate_filter::Clock;
use linkgate_filter::broker::Broker;
use linkgate_filter::runner::Seeds;
use linkgate_filter::store::Store;
use linkgate_grpc::Connector;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::time::Time;
use super::wires::Wires;

/// As long as nodes wait before they give another one up.
pub(crate) const SUSPECT_FOR: Duration = Duration::from_secs(4);
/// As long as pushes wait for a client that went away.
pub(crate) const RESUME_FOR: Duration = Duration::from_secs(5);
/// As long as a push is sent again.
pub(crate) const RETRIES: Duration = Duration::from_secs(12);

/// What a process starts with.
pub(crate) struct Setup<'a> {
    pub(crate) node: usize,
    pub(crate) number: u32,
    pub(crate) rate: f64,
    pub(crate) time: &'a Arc<Time>,
    pub(crate) registry: RegistryHandle,
    pub(crate) directory: Arc<MemoryDirectory>,
    pub(crate) wires: &'a Wires,
}

/// A process of a node: alone in its runtime.
pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) listener: SocketAddr,
    pub(crate) source: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) registry: RegistryHandle,
    pub(crate) directory: Arc<MemoryDirectory>,
    pub(crate) reporter: Arc<Reporter>,
    standing: watch::Receiver<Standing>,
    pub(crate) is_frozen: bool,
    node: Option<Node>,
    stops: Option<JoinHandle<()>>,
    span: tracing::Span,
    rate: f64,
    /// What has passed and the process has not noticed.
    owed: Duration,
    quiet: Quiet,
    pub(crate) runtime: Runtime,
}

impl Process {
    pub(crate) fn start(setup: Setup<'_>) -> Self {
        let (runtime, quiet) = Quiet::runtime().unwrap();
        let config = read(&yaml(setup.node));
        let clock: Arc<dyn Clock> = Arc::new(Own(Arc::clone(setup.time)));
        let outside = Outside {
            program: Program::LINKGATE,
            clock: Arc::clone(&clock),
            seeds: Seeds::fixed(u64::from(setup.number)),
            network: Network::Memory(setup.wires.network.clone()),
            edges: Arc::new(Edges {
                others: AsConfigured::new(&clock),
                connector: setup.wires.of(setup.node),
                directory: Arc::clone(&setup.directory),
            }),
            registry: Some(Arc::new(setup.registry.clone())),
        };
        let span = tracing::info_span!("process", node = setup.node, number = setup.number);
        let node = span.in_scope(|| {
            runtime.block_on(async { Node::start_in(config, axum::Router::new(), outside) })
        });
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        let cluster = node.cluster().expect("it is of a cluster");
        let peer = cluster.address();
        setup.wires.is_at(setup.node, peer);
        Self {
            number: setup.number,
            listener: node.listeners()[0].1,
            source: node.push_sources()[0],
            peer,
            registry: setup.registry,
            directory: setup.directory,
            reporter: Arc::clone(cluster.reporter()),
            standing: cluster.standing(),
            is_frozen: false,
            node: Some(node),
            stops: None,
            span,
            rate: setup.rate,
            owed: Duration::ZERO,
            quiet,
            runtime,
        }
    }

    /// So much time passes in the world.
    pub(crate) fn run(&mut self, time: Duration) {
        self.owed += time.mul_f64(self.rate);
        if self.is_frozen {
            return;
        }
        let passed = std::mem::take(&mut self.owed);
        let quiet = &self.quiet;
        self.span.in_scope(|| {
            self.runtime.block_on(async {
                tokio::time::advance(passed).await;
                quiet.settled().await;
            });
        });
    }

    /// Tells it to stop, in good order.
    pub(crate) fn stop(&mut self, patience: Duration) {
        if let Some(node) = self.node.take() {
            let stops = async move {
                node.stop(patience).await;
            };
            self.stops = Some(self.runtime.spawn(stops));
        }
    }

    pub(crate) fn stops(&self) -> bool {
        self.stops.is_some()
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.stops.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Another process has its id, so that its program ends it.
    pub(crate) fn is_taken(&self) -> bool {
        *self.standing.borrow() == Standing::Taken
    }

    /// It does nothing any more, not even a goodbye.
    pub(crate) fn kill(self) {
        self.registry.set(Way::Cut);
        self.directory.set_fault(Fault::Unreachable);
        drop(self.runtime);
    }
}

/// The clock of a process.
struct Own(Arc<Time>);

impl Clock for Own {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// What the nodes open.
struct Edges {
    others: AsConfigured,
    connector: Arc<dyn Connector>,
    directory: Arc<MemoryDirectory>,
}

impl Opener for Edges {
    fn store(&self, name: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, String> {
        self.others.store(name, config)
    }

    fn broker(&self, name: &str, config: &BrokerConfig) -> Result<Arc<dyn Broker>, String> {
        self.others.broker(name, config)
    }

    fn directory(&self, _: &str, _: &StoreConfig) -> Result<Arc<dyn Directory>, String> {
        Ok(Arc::clone(&self.directory) as _)
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector)
    }
}

fn read(yaml: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, yaml).unwrap();
    let config = config::load(&[file], &linkgate_filters::all());
    config.unwrap_or_else(|invalid| panic!("{}", invalid.render(false)))
}

fn yaml(node: usize) -> String {
    format!(
        "schema: 1
node: {{ id: node-{node} }}
stores: {{ main: {{ memory: {{}} }} }}
cluster:
  registry: {{ memory: {{}}, lease: 2s }}
  peers: {{ address: \"127.0.0.1:0\" }}
  directory: {{ store: main, resume_for: {resume}ms }}
  suspect_for: {suspect}ms
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query }}]
push: {{ sources: [{{ grpc: {{ address: \"127.0.0.1:0\" }} }}] }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      - {{ use: codec }}
      - use: ack_retry
        config:
          resume_for: {resume}ms
          retry: {{ initial: 1s, max: 2s, max_attempts: 4, total: {retries}ms }}
      - {{ use: echo }}
",
        resume = RESUME_FOR.as_millis(),
        suspect = SUSPECT_FOR.as_millis(),
        retries = RETRIES.as_millis(),
    )
}
