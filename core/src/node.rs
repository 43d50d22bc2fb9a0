//! A node: the rooms put together, started from a configuration, and stopped without losing what is under way.

mod change_over;
mod cluster;
mod gateway;
mod generation;
mod links;
mod listeners;
mod outside;
mod presence;
mod pushes;
mod running;
mod send_off;
mod status;
mod stop;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::runner::{Edges, Host, States};
use linkgate_filter::{Clock, EdgeError};
use parking_lot::Mutex;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry as Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::change_over::ChangeOver;
use self::gateway::Gateway;
pub use self::outside::Outside;
pub use self::running::Changed;
use self::running::Running;
use self::status::StatusMetrics;
pub(crate) use self::status::unix_ms;
pub use self::status::{ConfigStatus, DocumentStatus, Shared};
use crate::admin::{Admin, AdminError, AdminServer, Phase};
use crate::cluster::peers::PeersError;
use crate::cluster::{Cluster, ClusterMetrics};
use crate::config::{Config, document};
use crate::edges;
use crate::link::{LinkManager, LinkMetrics};
use crate::listener::{ListenError, ListenerMetrics};
use crate::network::Network;
use crate::pipeline::{Generation, Generations, PipelineMetrics};
use crate::presence::PresenceMetrics;
use crate::program::Program;
use crate::push::{GrpcPushError, HttpPush, PushMetrics, Router};
use crate::readiness::Reasons;
use crate::reception::ReceptionMetrics;
use crate::telemetry::panics;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] ListenError),
    /// A store or broker cannot be opened.
    #[error(transparent)]
    Edge(#[from] edges::OpenError),
    /// A push source cannot be opened.
    #[error(transparent)]
    Push(#[from] GrpcPushError),
    /// A topic of pushes cannot be read.
    #[error("the topic `{topic}` of pushes cannot be read: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        source: EdgeError,
    },
    /// The address for other nodes cannot be served.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// The directory cannot be opened.
    #[error("the directory cannot be opened in the store `{store}`: {reason}")]
    Directory {
        /// The store.
        store: String,
        /// Why.
        reason: String,
    },
    /// The configuration to start with has been used.
    #[error("this configuration has started a node already")]
    Twice,
    /// The admin address cannot be bound.
    #[error("the admin address {address} cannot be served: {source}")]
    Admin {
        /// The configured address.
        address: SocketAddr,
        /// Why.
        source: AdminError,
    },
}

impl StartError {
    fn admin(address: SocketAddr, source: AdminError) -> Self {
        Self::Admin { address, source }
    }
}

/// A running node.
pub struct Node {
    admin: Arc<Admin>,
    admin_address: Option<SocketAddr>,
    status: Arc<Shared>,
    cluster: Option<Cluster>,
    base: Base,
    running: Mutex<Running>,
}

/// What a node has from its start to its end.
struct Base {
    /// Who it is.
    id: String,
    gateway: Arc<Gateway>,
    generations: Arc<Generations>,
    change_over: Arc<ChangeOver>,
    links: Arc<LinkManager>,
    router: Router,
    counted: Counted,
    network: Network,
    reasons: Reasons,
    /// Tasks that accept: listeners and push sources.
    accepting: TaskTracker,
    stop_accepting: CancellationToken,
    /// Tasks that end when nothing else is left.
    background: TaskTracker,
    stop_background: CancellationToken,
}

/// How often the state of users without links is looked through.
const SWEEP: Duration = Duration::from_secs(10);

impl Node {
    /// Starts everything the configuration names. Nothing is accepted before all of it runs.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let outside = Outside::real(Program::LINKGATE);
        Self::start_in(config, axum::Router::new(), outside)
    }

    /// As [`Node::start`], in a world of the caller's; the admin address answers to `more` too.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn start_in(
        config: Config,
        more: axum::Router,
        outside: Outside,
    ) -> Result<Self, StartError> {
        let Outside {
            program,
            clock,
            seeds,
            network,
            edges,
            registry,
        } = outside;
        let host = Host {
            clock: Arc::clone(&clock),
            states: Arc::new(States::new(config.node.idle_users.into())),
            edges: Edges::new(),
            seeds: Arc::new(seeds),
            on_panic: panics::on_panic(),
        };
        let counted = Counted::default();
        let generations = Arc::new(Generations::default());
        let links = Arc::new(LinkManager::new());
        let status = Arc::new(Shared::default());
        let mut metrics = counted.register((program, &config.node), &generations);
        metrics.register_collector(Box::new(StatusMetrics(Arc::clone(&status))));
        let admin = Arc::new(Admin::new(metrics));
        let now = unix_ms(clock.wall());
        status.update(|status| {
            status.node = config.node.id.clone();
            status.program = program.name.to_owned();
            status.version = program.version.to_owned();
            status.linkgate = Program::LINKGATE.version.to_owned();
            status.schema = document::SCHEMA;
            status.generation = 1;
            status.since = now;
            status.read_at = now;
            status.accepted = true;
        });
        let (background, stop_background) = (TaskTracker::new(), CancellationToken::new());
        let joining = cluster::Joining {
            registry,
            edges: &edges,
            network: &network,
            clock: &clock,
            links: &links,
            admin: &admin,
            status: &status,
            counted: &counted,
            tasks: (&background, &stop_background),
        };
        let cluster = cluster::join(&config, joining)?;
        let receivers = cluster.as_ref().and_then(Cluster::receivers);
        let router = Router::new(
            receivers.unwrap_or_else(|| Arc::clone(&links) as _),
            Arc::clone(&clock),
            &config.push.limits,
            counted.pushes.clone(),
        );
        let serving = Arc::clone(&generations);
        let router = router.for_businesses(Arc::new(move |biz_id| serving.load().standing(biz_id)));
        if let Some(cluster) = &cluster {
            cluster.serve(router.clone());
        }
        let base = Base {
            id: config.node.id.clone(),
            gateway: Arc::new(Gateway::new(
                &generations,
                &links,
                counted.links.clone(),
                &admin,
            )),
            change_over: Arc::new(ChangeOver::new(
                &generations,
                config.node.change_over,
                counted.links.changing.clone(),
            )),
            generations,
            links,
            router,
            counted,
            network,
            reasons: admin.reasons().clone(),
            accepting: TaskTracker::new(),
            stop_accepting: CancellationToken::new(),
            background,
            stop_background,
        };
        let swept = sweep(
            Arc::clone(&host.states),
            clock,
            base.stop_background.clone(),
        );
        let mut running = Running::new(host, edges);
        let server = match &config.admin {
            Some(config) => {
                let bound = AdminServer::bind(config, (&base.network, &base.counted.reception));
                Some(bound.map_err(|source| StartError::admin(config.address, source))?)
            }
            None => None,
        };
        let admin_address = server
            .as_ref()
            .and_then(|server| server.local_address().ok());
        running.change(config, &base)?;
        if let Some(server) = server {
            let routes = HttpPush::routes(running.http());
            let routes = routes
                .merge(status::routes(Arc::clone(&status)))
                .merge(cluster::routes(cluster.as_ref()))
                .merge(more);
            let (admin, stop) = (Arc::clone(&admin), base.stop_background.clone());
            base.background.spawn(server.run(admin, routes, stop));
        }
        base.background.spawn(swept);
        let over = Arc::clone(&base.change_over);
        base.background.spawn(over.run(base.stop_accepting.clone()));
        admin.enter(Phase::Serving);
        Ok(Self {
            admin,
            admin_address,
            status,
            cluster,
            base,
            running: Mutex::new(running),
        })
    }

    /// Changes over to another configuration. What has not changed goes on as it is, and nothing that can fail happens
    /// after the first change.
    ///
    /// # Errors
    /// An address cannot be bound, or an edge not opened: nothing has changed.
    pub fn change(&self, config: Config) -> Result<Changed, StartError> {
        self.running.lock().change(config, &self.base)
    }

    /// Runs something until the node has stopped: `work` gets what tells it so, and has about a second to end then.
    pub fn in_background<F>(&self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.base.stop_background.clone();
        self.base.background.spawn(work(stop));
    }

    /// The pipelines at work.
    pub fn generation(&self) -> Arc<Generation> {
        self.base.generations.load_full()
    }

    /// Its part in its cluster, if it is of one.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Ends when another process of the cluster turns out to have this node's id: this one has to stop.
    pub async fn is_taken(&self) {
        cluster::taken(self.cluster.as_ref()).await;
    }

    /// What the admin address shows, also after the node has stopped.
    pub fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    /// Which configuration runs.
    pub fn status(&self) -> &Arc<Shared> {
        &self.status
    }

    /// How many links each business has.
    pub fn links(&self) -> HashMap<Arc<str>, usize> {
        let mut links = HashMap::new();
        for link in self.base.links.all() {
            *links
                .entry(Arc::clone(&link.info().identity.biz_id))
                .or_default() += 1;
        }
        links
    }

    /// What has changed and takes a restart to have an effect, as a word or two each.
    pub fn needs_restart(&self) -> Vec<String> {
        self.running.lock().needs_restart()
    }

    /// The listeners' names and the addresses they have bound.
    pub fn listeners(&self) -> Vec<(String, SocketAddr)> {
        self.running.lock().listeners()
    }

    /// The addresses at which backends push.
    pub fn push_sources(&self) -> Vec<SocketAddr> {
        self.running.lock().push_sources()
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }
}

/// What the rooms count.
#[derive(Default)]
struct Counted {
    links: LinkMetrics,
    listeners: ListenerMetrics,
    pushes: PushMetrics,
    presence: PresenceMetrics,
    reception: ReceptionMetrics,
    cluster: ClusterMetrics,
}

impl Counted {
    fn register(
        &self,
        (program, node): (Program, &document::Node),
        generations: &Arc<Generations>,
    ) -> Metrics {
        let mut metrics = Metrics::with_prefix("linkgate");
        metrics.register(
            "node",
            "Who this node is",
            Info::new(identity(program, node)),
        );
        self.links.register(&mut metrics);
        self.listeners.register(&mut metrics);
        self.pushes.register(&mut metrics);
        self.presence.register(&mut metrics);
        self.reception.register(&mut metrics);
        self.cluster.register(&mut metrics);
        metrics.register_collector(Box::new(PipelineMetrics(Arc::clone(generations))));
        metrics
    }
}

/// What it runs in, and what its document says of it, as labels.
fn identity(program: Program, node: &document::Node) -> Vec<(&'static str, String)> {
    vec![
        ("program", program.name.to_owned()),
        ("version", program.version.to_owned()),
        ("linkgate", Program::LINKGATE.version.to_owned()),
        ("id", node.id.clone()),
        ("advertise", node.advertise.clone().unwrap_or_default()),
        ("labels", node.labels.join(",")),
        ("location", node.location.clone()),
        ("weight", node.weight.to_string()),
    ]
}

async fn sweep(states: Arc<States>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    while stop
        .run_until_cancelled(tokio::time::sleep(SWEEP))
        .await
        .is_some()
    {
        states.sweep(clock.now());
        // A worker gives freed memory back before it sleeps. One that sleeps since its links went has to wake for that.
        for _ in 0..workers {
            tokio::spawn(async {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}
