//! Several nodes in this process, with one registry and one directory in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_core::clock::SystemClock;
use linkgate_core::cluster::registry::{MemoryRegistry, RegistryHandle, Way};
use linkgate_core::cluster::{NodeReport, Whereabouts};
use linkgate_core::edges::Together;
use linkgate_core::node::{Node, Outside};
use linkgate_core::program::Program;
use linkgate_filter::Clock;

use super::gateway::read;
use super::wait::until;

/// A node of a cluster.
pub(crate) struct Member {
    yaml: String,
    pub(crate) node: Node,
    /// Its way to the registry.
    registry: RegistryHandle,
}

/// Several nodes in this process.
pub(crate) struct Members {
    registry: MemoryRegistry,
    edges: Arc<Together>,
}

impl Members {
    pub(crate) fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            registry: MemoryRegistry::new(1),
            edges: Arc::new(Together::new(&clock)),
        }
    }

    /// Starts a node, which serves once it is registered.
    pub(crate) async fn start(&self, id: &str) -> Member {
        let registry = self.registry.handle();
        let outside = Outside {
            edges: Arc::clone(&self.edges) as _,
            registry: Some(Arc::new(registry.clone())),
            ..Outside::real(Program::LINKGATE)
        };
        let yaml = yaml(id);
        let node = Node::start_in(read(&yaml), axum::Router::new(), outside);
        let member = Member {
            yaml,
            node: node.unwrap_or_else(|error| panic!("{error}")),
            registry,
        };
        until("the node is ready", async || member.node.admin().is_ready()).await;
        member
    }
}

fn yaml(id: &str) -> String {
    format!(
        "schema: 1
node: {{ id: {id} }}
admin: {{ address: \"127.0.0.1:0\" }}
stores: {{ main: {{ memory: {{}} }} }}
cluster:
  registry: {{ memory: {{}}, lease: 2s }}
  peers: {{ address: \"127.0.0.1:0\" }}
  directory: {{ store: main }}
  suspect_for: 4s
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query }}]
push: {{ sources: [{{ grpc: {{ address: \"127.0.0.1:0\" }} }}] }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters: [{{ use: codec }}, {{ use: ack_retry }}, {{ use: echo }}]
"
    )
}

impl Member {
    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.node.listeners()[0].1
    }

    /// Its way to the registry is this from now on.
    pub(crate) fn reaches_registry(&self, way: Way) {
        self.registry.set(way);
    }

    /// Changes it over to another form of its configuration.
    pub(crate) fn change(&self, change: impl Fn(&str) -> String) {
        let changed = self.node.change(read(&change(&self.yaml)));
        changed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Where backends push.
    pub(crate) fn pushes(&self) -> SocketAddr {
        self.node.push_sources()[0]
    }

    /// The nodes of the cluster, as this one knows them.
    pub(crate) async fn nodes(&self) -> Vec<NodeReport> {
        self.node.cluster().unwrap().reporter().nodes().await
    }

    /// Where a user is, by this node.
    pub(crate) async fn locate(&self, user: &str) -> Whereabouts {
        let user = ("chat".into(), user.into());
        self.node.cluster().unwrap().reporter().locate(&user).await
    }
}
