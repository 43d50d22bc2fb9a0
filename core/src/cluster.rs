//! Many nodes as one: which nodes there are, where a user's links are, and how a push gets there.
//!
//! ```text
//! machine.rs + machine/     decides, and does nothing: all that is promised is decided here
//! mind.rs                   its task: takes in what happens, and has done what it decides
//! registrar.rs, registry/   which nodes there are: in etcd, or in this process
//! clerk.rs                  takes operations to the directory (`edges::directory`), shard by shard
//! peers.rs + peers/         streams from node to node
//! ways.rs, hearing.rs       pushes on their way to other nodes, and from them
//! state.rs, report.rs       what can be seen of it
//! ```
//!
//! The table of the node that holds a link is the truth; the directory is a hint and a fence; whoever took a push in owns it
//! until it is settled. What may not enter: what pushes and links are made of, and when a node starts and stops.

mod clerk;
pub mod config;
mod hearing;
mod inbox;
pub mod machine;
mod mind;
pub mod peers;
mod registrar;
pub mod registry;
mod report;
mod state;
mod ways;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use linkgate_filter::Clock;
use linkgate_grpc::Connector;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::clerk::Clerk;
use self::config::{ClusterConfig, DirectoryConfig, OnDirectoryFailure};
use self::hearing::Hearing;
use self::inbox::Inbox;
use self::machine::{Machine, Settings};
use self::mind::Mind;
pub use self::mind::Says;
use self::peers::{Peers, PeersError};
use self::registrar::Registrar;
use self::registry::{Boot, NodeRecord, Registry};
use self::report::ByHand;
pub use self::report::{DirectoryReport, LinkReport, NodeReport, Reporter, Whereabouts};
use self::state::State;
pub use self::state::{ClusterMetrics, Standing};
use self::ways::{Everywhere, Seekers};
use crate::clock::Suspends;
use crate::edges::directory::Directory;
use crate::link::{Backlog, LinkManager};
use crate::network::Network;
use crate::push::{Receivers, Router};
use crate::reception::ReceptionMetrics;

/// What a node brings into its cluster.
pub struct Around<'a> {
    /// What it says of itself; its life and what changes are filled in.
    pub record: NodeRecord,
    /// A random name of the process.
    pub instance: Arc<str>,
    /// The registry.
    pub registry: Arc<dyn Registry>,
    /// The directory, if there is one.
    pub directory: Option<Arc<dyn Directory>>,
    /// The node's links.
    pub links: &'a Arc<LinkManager>,
    /// Where the address for other nodes is bound.
    pub network: &'a Network,
    /// How they are dialled.
    pub connector: Arc<dyn Connector>,
    /// Time.
    pub clock: &'a Arc<dyn Clock>,
    /// What the node carries and does.
    pub says: Says,
    /// Counts connections of other nodes.
    pub reception: &'a ReceptionMetrics,
    /// Counts changes of state.
    pub metrics: &'a ClusterMetrics,
    /// Where it runs, and what ends it.
    pub tasks: (&'a TaskTracker, &'a CancellationToken),
}

/// A node's part in its cluster.
pub struct Cluster {
    state: Arc<State>,
    receivers: Option<Arc<dyn Receivers>>,
    hearing: Arc<Hearing>,
    reporter: Arc<Reporter>,
}

impl Cluster {
    /// Takes part from now on: binds the address for other nodes, and begins a life as soon as the registry answers. Until
    /// then links that come are held.
    ///
    /// # Errors
    /// The address for other nodes cannot be served.
    pub fn begin(config: &ClusterConfig, around: Around<'_>) -> Result<Self, PeersError> {
        let inbox = Arc::new(Inbox::default());
        let by_hand = Arc::new(ByHand::default());
        let hearing = Arc::new(Hearing {
            inbox: Arc::clone(&inbox),
            by_hand: Arc::clone(&by_hand),
            clock: Arc::clone(around.clock),
            router: Mutex::new(None),
            last: Mutex::new((Weak::new(), Weak::new())),
        });
        let (tasks, stop) = around.tasks;
        let peers = peers::Around {
            node: Arc::clone(&around.record.id),
            network: around.network.clone(),
            connector: around.connector,
            clock: Arc::clone(around.clock),
            stop: stop.clone(),
            tasks: tasks.clone(),
            metrics: around.reception.clone(),
        };
        let peers = Peers::bind(&config.peers, peers, Arc::clone(&hearing) as _)?;
        let mut record = around.record;
        record.peer = peers.advertised().to_owned();
        let boot = Boot {
            node: Arc::clone(&record.id),
            instance: around.instance,
        };
        let directory = config.directory.as_ref().zip(around.directory);
        let settings = settings(config, &boot, &record.peer);
        let seekers = Arc::new(Seekers::new());
        let state = Arc::new(State::new(around.metrics.clone()));
        let (zero, lease) = (Instant::now(), *config.registry.lease);
        let told = around.registry.follow();
        let (topology, journal, receivers, directory) = match directory {
            Some((_, directory)) => {
                around.links.hold_new();
                let everywhere = Everywhere {
                    links: Arc::clone(around.links),
                    inbox: Arc::clone(&inbox),
                    seekers: Arc::clone(&seekers),
                };
                let reader = around.links.read(Backlog::default());
                let awaited = around.links.journal().awaited();
                let receivers = Some(Arc::new(everywhere) as Arc<dyn Receivers>);
                (
                    directory.topology(),
                    Some((reader, awaited)),
                    receivers,
                    Some(directory),
                )
            }
            None => (watch::channel(None).1, None, None, None),
        };
        let reporter = Reporter {
            inbox: Arc::clone(&inbox),
            state: Arc::clone(&state),
            peers: peers.clone(),
            directory: directory.clone(),
            topology: topology.clone(),
            by_hand,
        };
        let mind = Mind {
            machine: Machine::new(settings, zero.elapsed()),
            zero,
            suspends: Suspends::begin(),
            clerk: Clerk::new(directory, &inbox),
            registrar: Registrar::new(around.registry, &inbox, (boot, lease), record),
            inbox,
            peers: peers.clone(),
            links: Arc::clone(around.links),
            handles: HashMap::new(),
            seekers,
            state: Arc::clone(&state),
            says: around.says,
            topology,
            spread: None,
            told,
            view: Arc::default(),
            is_dialled: false,
            load_at: (zero, zero),
        };
        tasks.spawn(mind.run(journal, stop.clone()));
        Ok(Self {
            state,
            receivers,
            hearing,
            reporter: Arc::new(reporter),
        })
    }

    /// The users of all nodes, if there is a directory.
    pub fn receivers(&self) -> Option<Arc<dyn Receivers>> {
        self.receivers.clone()
    }

    /// What other nodes forward here goes to this node's links by this router.
    pub fn serve(&self, router: Router) {
        *self.hearing.router.lock() = Some(router);
    }

    /// How the node stands.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.state.standing()
    }

    /// Tells whoever runs the node.
    pub fn reporter(&self) -> &Arc<Reporter> {
        &self.reporter
    }

    /// Where other nodes reach this one.
    pub fn address(&self) -> SocketAddr {
        self.reporter.peers.address()
    }
}

fn settings(config: &ClusterConfig, boot: &Boot, peer: &str) -> Settings {
    let default = DirectoryConfig::of("");
    let directory = config.directory.as_ref().unwrap_or(&default);
    Settings {
        node: Arc::clone(&boot.node),
        instance: Arc::clone(&boot.instance),
        peer: peer.into(),
        lease: *config.registry.lease,
        suspect_for: *config.suspect_for,
        resume_for: *directory.resume_for,
        keep: *directory.keep,
        admits: directory.on_failure == OnDirectoryFailure::Admit,
        looks_per_second: directory.max_looks,
    }
}
