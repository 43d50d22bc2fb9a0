//! The node's part in its cluster.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use linkgate_filter::Clock;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Counted, Shared, StartError};
use crate::admin::{Admin, Phase};
use crate::cluster::config::{ClusterConfig, RegistryConfig};
use crate::cluster::registry::{Load, MemoryRegistry, NodeRecord, NodeState, Registry};
use crate::cluster::{Around, Cluster, Reporter, Says, Standing};
use crate::config::{Config, document};
use crate::edges::Opener;
use crate::edges::directory::Directory;
use crate::link::LinkManager;
use crate::network::Network;
use crate::program::Program;
use crate::readiness::Reason;

/// `GET /v1/nodes` and `GET /v1/where?biz_id=...&user_id=...`; on a node of no cluster they say so.
pub(super) fn routes(cluster: Option<&Cluster>) -> Router {
    let reporter = cluster.map(|cluster| Arc::clone(cluster.reporter()));
    Router::new()
        .route("/v1/nodes", get(nodes))
        .route("/v1/where", get(locate))
        .with_state(reporter)
}

/// Whoever tells, if the node is of a cluster.
type Teller = State<Option<Arc<Reporter>>>;

async fn nodes(State(reporter): Teller) -> Response {
    match reporter {
        Some(reporter) => Json(reporter.nodes().await).into_response(),
        None => (StatusCode::NOT_FOUND, ALONE).into_response(),
    }
}

const ALONE: &str = "this node is of no cluster: its configuration has no `cluster`\n";

/// Whom `GET /v1/where` is about.
#[derive(Deserialize)]
struct Whom {
    biz_id: String,
    user_id: String,
}

async fn locate(State(reporter): Teller, Query(whom): Query<Whom>) -> Response {
    let Some(reporter) = reporter else {
        return (StatusCode::NOT_FOUND, ALONE).into_response();
    };
    let user = (whom.biz_id.into(), whom.user_id.into());
    Json(reporter.locate(&user).await).into_response()
}

/// What a node has when it joins its cluster.
pub(super) struct Joining<'a> {
    pub(super) registry: Option<Arc<dyn Registry>>,
    pub(super) edges: &'a Arc<dyn Opener>,
    pub(super) network: &'a Network,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) links: &'a Arc<LinkManager>,
    pub(super) admin: &'a Arc<Admin>,
    pub(super) status: &'a Arc<Shared>,
    pub(super) counted: &'a Counted,
    pub(super) tasks: (&'a TaskTracker, &'a CancellationToken),
}

/// Takes part in the cluster that the configuration speaks of, if it does.
pub(super) fn join(config: &Config, around: Joining<'_>) -> Result<Option<Cluster>, StartError> {
    let Some(cluster) = &config.cluster else {
        return Ok(None);
    };
    let registry = match around.registry {
        Some(registry) => registry,
        None => registry(&cluster.registry),
    };
    let directory = directory(config, cluster, around.edges)?;
    let begun = Cluster::begin(
        cluster,
        Around {
            record: record(&config.node),
            instance: instance().into(),
            registry,
            directory,
            links: around.links,
            network: around.network,
            connector: around.edges.connector(),
            clock: around.clock,
            says: says(around.links, around.admin, around.status),
            reception: &around.counted.reception,
            metrics: &around.counted.cluster,
            tasks: around.tasks,
        },
    )?;
    let reason = around.admin.reasons().reason(true);
    let (tasks, stop) = around.tasks;
    tasks.spawn(watch(begun.standing(), reason, stop.clone()));
    Ok(Some(begun))
}

/// Another process has the node's id: the node has to end. Ends when that is so.
pub(super) async fn taken(cluster: Option<&Cluster>) {
    let Some(cluster) = cluster else {
        return std::future::pending().await;
    };
    let mut standing = cluster.standing();
    if standing
        .wait_for(|standing| *standing == Standing::Taken)
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}

/// Says why the node is not ready while it is none of the cluster.
async fn watch(
    mut standing: tokio::sync::watch::Receiver<Standing>,
    reason: Reason,
    stop: CancellationToken,
) {
    loop {
        match *standing.borrow_and_update() {
            Standing::Begins => reason.holds("the node is not registered in its cluster yet"),
            Standing::Lives => reason.is_over(),
            Standing::Taken => {
                reason.holds("another process of the cluster has the id of this node");
            }
        }
        let changed = stop.run_until_cancelled(standing.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return;
        }
    }
}

#[cfg(feature = "etcd")]
fn registry(config: &RegistryConfig) -> Arc<dyn Registry> {
    use crate::cluster::registry::EtcdRegistry;
    match &config.etcd {
        Some(etcd) => Arc::new(EtcdRegistry::new(etcd.clone(), config.nodes.as_deref())),
        None => alone(),
    }
}

#[cfg(not(feature = "etcd"))]
fn registry(_: &RegistryConfig) -> Arc<dyn Registry> {
    alone()
}

/// A registry in which nobody else is.
fn alone() -> Arc<dyn Registry> {
    Arc::new(MemoryRegistry::new(fastrand::u64(1..)).handle())
}

fn directory(
    config: &Config,
    cluster: &ClusterConfig,
    edges: &Arc<dyn Opener>,
) -> Result<Option<Arc<dyn Directory>>, StartError> {
    let Some(directory) = &cluster.directory else {
        return Ok(None);
    };
    let name = &directory.store;
    let opened = match config.stores.get(name) {
        Some(store) => edges.directory(name, store),
        None => Err("there is no such store".to_owned()),
    };
    let failed = |reason| StartError::Directory {
        store: name.clone(),
        reason,
    };
    opened.map(Some).map_err(failed)
}

fn record(node: &document::Node) -> NodeRecord {
    let place = node.public_place();
    NodeRecord {
        id: node.id.as_str().into(),
        ip: place.0,
        port: place.1,
        weight: node.weight,
        location: node.location.clone(),
        labels: node.labels.clone(),
        capacity: node.capacity,
        load: Load::default(),
        incarnation: None,
        peer: String::new(),
        public: node.public.clone().unwrap_or_default(),
        state: NodeState::Starting,
        version: Program::LINKGATE.version.to_owned(),
        schema: document::SCHEMA,
        generation: 0,
        lives: Default::default(),
    }
}

/// Names this process among all that ever have the node's id.
fn instance() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn says(links: &Arc<LinkManager>, admin: &Arc<Admin>, status: &Arc<Shared>) -> Says {
    let (links, admin, status) = (Arc::clone(links), Arc::clone(admin), Arc::clone(status));
    Arc::new(move || {
        let load = Load {
            links: links.len() as u64,
            pressure: 0,
        };
        let state = match admin.phase() {
            Phase::Starting => NodeState::Starting,
            Phase::Serving => NodeState::Serving,
            Phase::Draining => NodeState::Draining,
            Phase::Stopping => NodeState::Stopping,
        };
        (load, state, status.get().generation)
    })
}
