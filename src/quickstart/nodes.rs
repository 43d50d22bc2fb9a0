//! The nodes of the quickstart: one, or several that work as one, with their registry and directory in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use linkgate_core::clock::SystemClock;
use linkgate_core::cluster::registry::MemoryRegistry;
use linkgate_core::config;
use linkgate_core::edges::Together;
use linkgate_core::node::{Node, Outside};
use linkgate_core::program::Program;
use linkgate_filter::{Clock, Registry};

use super::places::Places;

/// What makes a node of [`CONFIG`](super::CONFIG) one of several.
const CLUSTER: &str = "
# What makes the nodes one: in this process for trying it out, in etcd and Redis for real (docs/cluster.md).
cluster:
  registry: { memory: {} }
  peers: { address: \"127.0.0.1:0\" }
  directory: { store: users }

stores:
  users: { memory: {} }
";

/// A node that runs.
pub(super) struct Member {
    /// Its id, if it is one of several.
    pub(super) id: Option<String>,
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) push: SocketAddr,
    /// The file of its configuration.
    pub(super) config: PathBuf,
    pub(super) node: Node,
}

/// Starts the first node at these places, and so many in all; the others at free ports.
pub(super) fn start(
    places: &Places,
    nodes: u8,
    folder: &std::path::Path,
    registry: &Registry,
) -> Result<Vec<Member>, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let edges = Arc::new(Together::new(&clock));
    let shared = MemoryRegistry::new(1);
    let start = |number: u8| {
        let id = (nodes > 1).then(|| char::from(b'a' + number).to_string());
        let mut text = match number {
            0 => places.fill(super::CONFIG),
            _ => places.elsewhere()?.fill(super::CONFIG),
        };
        if let Some(id) = &id {
            text = text.replace("\nadmin:", &format!("\nnode: {{ id: {id} }}\nadmin:"));
            text.push_str(CLUSTER);
        }
        let name = id.as_deref().unwrap_or("quickstart");
        let file = folder.join(format!("{name}.yaml"));
        let failed = |e| format!("cannot write {}: {e}", file.display());
        std::fs::write(&file, text).map_err(failed)?;
        let config = config::load(std::slice::from_ref(&file), registry);
        let config = config.map_err(|invalid| invalid.render(false))?;
        let outside = Outside {
            edges: Arc::clone(&edges) as _,
            registry: Some(Arc::new(shared.handle())),
            ..Outside::real(Program::LINKGATE)
        };
        let node = Node::start_in(config, axum::Router::new(), outside);
        member(id, file, node.map_err(|e| e.to_string())?)
    };
    (0..nodes).map(start).collect()
}

fn member(id: Option<String>, config: PathBuf, node: Node) -> Result<Member, String> {
    let gateway = node.listeners().first().map(|(_, address)| *address);
    let push = node.push_sources().first().copied();
    let (Some(gateway), Some(admin), Some(push)) = (gateway, node.admin_address(), push) else {
        return Err("the configuration of the quickstart opens no address".to_owned());
    };
    Ok(Member {
        id,
        gateway,
        admin,
        push,
        config,
        node,
    })
}
