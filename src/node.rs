//! A node: the rooms put together, started from a configuration, and stopped without losing what is under way.

mod gateway;
mod pushes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Clock, EdgeError, Host, Seeds, States};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry as Metrics;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::gateway::Gateway;
use self::pushes::Pushes;
use crate::admin::{Admin, AdminServer, Readiness};
use crate::clock::SystemClock;
use crate::config::{Config, PipelineConfig, document};
use crate::edges;
use crate::link::{Grace, LinkManager, LinkMetrics, PushBudget, Watch};
use crate::listener::{ListenError, Listener, ListenerMetrics, Quota};
use crate::outbox::Outlet;
use crate::pipeline::{Generation, Generations, PipelineMetrics, Served};
use crate::presence::{Presence, PresenceMetrics};
use crate::push::{GrpcPushError, PushMetrics, Router};

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
    /// The admin address cannot be bound.
    #[error("the admin address cannot be {address}: {source}")]
    Admin {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A running node.
pub struct Node {
    admin: Arc<Admin>,
    admin_address: Option<SocketAddr>,
    listeners: Vec<(String, SocketAddr)>,
    push_sources: Vec<SocketAddr>,
    gateway: Arc<Gateway>,
    /// Tasks that accept: listeners and push sources.
    accepting: TaskTracker,
    stop_accepting: CancellationToken,
    /// Tasks that end when nothing else is left.
    background: TaskTracker,
    stop_background: CancellationToken,
}

/// How often the state of users without links is looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// The part of a stop's patience that is kept for clients whose answers do not come: in its first half they are told which
/// of their messages have gone nowhere, then goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

impl Node {
    /// Starts everything the configuration names. Nothing is accepted before all of it runs.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let host = Arc::new(Host {
            clock: Arc::clone(&clock),
            states: Arc::new(States::new(config.node.idle_users.into())),
            edges: edges::open(&config.stores, &config.brokers, &clock)?,
            seeds: Arc::new(Seeds::from_system()),
        });
        let counted = Counted::default();
        let presence = presence(&config, &host, &counted.presence);
        let (presence, watch) = presence.unzip();
        let background = TaskTracker::new();
        let own_limits: Vec<_> = config.pipelines.iter().map(unsettled_pushes).collect();
        let generation = generation(&host, &background, config.pipelines);
        let generations = Arc::new(Generations::from_pointee(generation));
        let admin = Arc::new(Admin::new(counted.register(&config.node, &generations)));

        let stop_background = CancellationToken::new();
        background.spawn(sweep(Arc::clone(&host), stop_background.clone()));
        let links = Arc::new(watch.map_or_else(LinkManager::new, LinkManager::watched));

        // Bind everything before anything is accepted.
        let listen = |config| Listener::bind(config, &counted.listeners);
        let bound: Vec<_> = config
            .listeners
            .iter()
            .map(listen)
            .collect::<Result<_, _>>()?;
        let router = Router::new(
            Arc::clone(&links) as _,
            clock,
            &config.push.limits,
            counted.pushes,
        );
        for (biz_id, limit) in own_limits {
            router.limit(&biz_id, limit);
        }
        let outside = (&host.edges, &config.backends, config.node.id.as_str());
        let pushes = Pushes::open(&config.push, &router, &generations, outside).await?;

        let admin_address = match config.admin {
            None => None,
            Some(config) => {
                let failed = |source| StartError::Admin {
                    address: config.address,
                    source,
                };
                let server = AdminServer::bind(config.address).await.map_err(failed)?;
                let address = server.local_address().map_err(failed)?;
                let (admin, stop) = (Arc::clone(&admin), stop_background.clone());
                background.spawn(server.run(admin, pushes.routes(), stop));
                Some(address)
            }
        };

        let gateway = Arc::new(Gateway::new(
            &config.listeners,
            generations,
            links,
            counted.links,
        ));
        let (accepting, stop_accepting) = (TaskTracker::new(), CancellationToken::new());
        let push_sources = pushes.serve(&accepting, &stop_accepting);
        let mut listeners = Vec::new();
        for (config, listener) in config.listeners.iter().zip(bound) {
            listeners.push((
                config.name.clone(),
                listener.local_address().unwrap_or(config.address),
            ));
            accepting.spawn(listener.run(Arc::clone(&gateway), stop_accepting.clone()));
        }
        if let Some(presence) = presence {
            background.spawn(presence.run(stop_background.clone()));
        }
        admin.set(Readiness::Ready);
        Ok(Self {
            admin,
            admin_address,
            listeners,
            push_sources,
            gateway,
            accepting,
            stop_accepting,
            background,
            stop_background,
        })
    }

    /// The listeners' names and the addresses they have bound.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// The addresses at which backends push.
    pub fn push_sources(&self) -> &[SocketAddr] {
        &self.push_sources
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Accepts no more, answers what clients have sent, closes their links with `shutdown`, and waits for what is
    /// unsettled; all that for up to `patience`. Gives the number of links that were not done by then.
    pub async fn stop(self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let goodbye = (patience / 10).min(GOODBYE);
        let grace = Grace {
            answers: deadline - goodbye,
            refusals: deadline - goodbye / 2,
        };
        self.admin.set(Readiness::Stopping);
        self.stop_accepting.cancel();
        self.accepting.close();
        self.gateway.shut_down(grace);
        let settled = async {
            self.accepting.wait().await;
            // A handshake that was under way may have brought one more link.
            self.gateway.shut_down(grace);
            self.gateway.finished().await;
        };
        let _ = timeout_at(deadline, settled).await;
        let left = self.gateway.links();
        self.gateway.let_go();
        drop(self.gateway);
        self.stop_background.cancel();
        self.background.close();
        let _ = timeout_at(
            deadline.max(Instant::now() + Duration::from_secs(1)),
            self.background.wait(),
        )
        .await;
        left
    }
}

/// What the rooms count.
#[derive(Default)]
struct Counted {
    links: LinkMetrics,
    listeners: ListenerMetrics,
    pushes: PushMetrics,
    presence: PresenceMetrics,
}

impl Counted {
    fn register(&self, node: &document::Node, generations: &Arc<Generations>) -> Metrics {
        let mut metrics = Metrics::with_prefix("linkgate");
        metrics.register("node", "Who this node is", Info::new(identity(node)));
        self.links.register(&mut metrics);
        self.listeners.register(&mut metrics);
        self.pushes.register(&mut metrics);
        self.presence.register(&mut metrics);
        metrics.register_collector(Box::new(PipelineMetrics(Arc::clone(generations))));
        metrics
    }
}

/// What the node's document says of it, as labels.
fn identity(node: &document::Node) -> Vec<(&'static str, String)> {
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("id", node.id.clone()),
        ("advertise", node.advertise.clone().unwrap_or_default()),
        ("labels", node.labels.join(",")),
        ("location", node.location.clone()),
        ("weight", node.weight.to_string()),
    ]
}

fn generation(host: &Arc<Host>, tasks: &TaskTracker, pipelines: Vec<PipelineConfig>) -> Generation {
    let mut generation = Generation::default();
    for config in pipelines {
        let (pipeline, shards) =
            config
                .plan
                .start(&config.biz_id, config.limits.into(), host, None);
        for shard in shards {
            tasks.spawn(shard.run());
        }
        let served = Served {
            pipeline,
            links: Quota::new(config.limits.links),
            pushes: PushBudget::new(config.limits.queued.as_usize()),
        };
        generation.serve(config.listeners.iter().map(String::as_str), &served);
    }
    generation
}

/// Who tells of users who come and go, and how the table of links tells it, if that is wanted.
fn presence(config: &Config, host: &Host, metrics: &PresenceMetrics) -> Option<(Presence, Watch)> {
    let presence = config.presence.as_ref()?;
    let outlet = Outlet::open(&presence.destination(), &host.edges, &config.backends)?;
    let here = (config.node.id.as_str(), &host.clock);
    let most = presence.max_queued as usize;
    Some(Presence::new(outlet, most, here, metrics))
}

fn unsettled_pushes(config: &PipelineConfig) -> (String, Option<usize>) {
    (
        config.biz_id.clone(),
        config.limits.unsettled_pushes.map(|limit| limit as usize),
    )
}

async fn sweep(host: Arc<Host>, stop: CancellationToken) {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    while stop
        .run_until_cancelled(tokio::time::sleep(SWEEP))
        .await
        .is_some()
    {
        host.states.sweep(host.clock.now());
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
