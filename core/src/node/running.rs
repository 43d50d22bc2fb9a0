//! What a configuration has made of the node, and how another one takes its place.

use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_filter::runner::Host;

use super::listeners::Listeners;
use super::presence::Teller;
use super::pushes::{Around, Pushes};
use super::{Base, StartError, change_over, generation, links};
use crate::cluster::config::ClusterConfig;
use crate::config::Config;
use crate::edges::config::StoreConfig;
use crate::edges::{OpenEdges, Opener};
use crate::push::HttpSlot;

/// What a configuration has made of the node.
pub(super) struct Running {
    host: Arc<Host>,
    edges: OpenEdges,
    listeners: Listeners,
    pushes: Pushes,
    presence: Teller,
    /// Of the cluster that the node is in since its start, and of the one that it was last told of.
    cluster: Option<InCluster>,
}

/// What of the configuration makes a node's part in its cluster.
type OfCluster = Option<(ClusterConfig, Option<StoreConfig>)>;

struct InCluster {
    began: OfCluster,
    told: OfCluster,
}

/// The cluster that a configuration speaks of, and the store of its directory.
fn of_cluster(config: &Config) -> OfCluster {
    let cluster = config.cluster.clone()?;
    let store = cluster.directory.as_ref();
    let store = store.and_then(|directory| config.stores.get(&directory.store).cloned());
    Some((cluster, store))
}

/// What a change has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Whether anything has changed at all.
    pub is_change: bool,
    /// Links that change over to other filters.
    pub links: usize,
    /// Links that nothing serves any more: they are closed at their listener's pace.
    pub leaving: usize,
}

impl Running {
    /// Nothing yet, but the parts of a node that chains work with.
    pub(super) fn new(host: Host, opener: Arc<dyn Opener>) -> Self {
        Self {
            host: Arc::new(host),
            edges: OpenEdges::new(opener),
            listeners: Listeners::default(),
            pushes: Pushes::default(),
            presence: Teller::default(),
            cluster: None,
        }
    }

    /// Where the admin address finds the source that takes pushes by HTTP.
    pub(super) fn http(&self) -> HttpSlot {
        Arc::clone(&self.pushes.http)
    }

    pub(super) fn listeners(&self) -> Vec<(String, SocketAddr)> {
        self.listeners.addresses()
    }

    pub(super) fn push_sources(&self) -> Vec<SocketAddr> {
        self.pushes.addresses()
    }

    pub(super) fn needs_restart(&self) -> Vec<String> {
        let mut changed = self.listeners.needs_restart();
        let cluster = self.cluster.as_ref();
        if cluster.is_some_and(|cluster| cluster.began != cluster.told) {
            changed.push("cluster".to_owned());
        }
        changed
    }

    /// Changes over to another configuration.
    pub(super) fn change(
        &mut self,
        mut config: Config,
        base: &Base,
    ) -> Result<Changed, StartError> {
        // What can fail, and changes nothing.
        let edges = self.edges.next(&config.stores, &config.brokers)?;
        let host = Arc::new(Host {
            edges: edges.edges(),
            ..(*self.host).clone()
        });
        let listeners = self.listeners.next(
            &config.listeners,
            &base.counted.listeners,
            (&base.network, &self.host.clock),
        )?;
        let around = Around {
            router: &base.router,
            edges: &host.edges,
            backends: &config.backends,
            node: &base.id,
            network: &base.network,
            reasons: &base.reasons,
            reception: &base.counted.reception,
        };
        let pushes = self.pushes.next(&config.push, &around)?;

        // What cannot.
        let own_limits = generation::push_limits(&config.pipelines);
        base.router.set_limits(&config.push.limits, own_limits);
        let before = base.generations.load_full();
        let (next, shards) = generation::next(&before, &mut config, &host);
        for shard in shards {
            base.background.spawn(shard.run());
        }
        let next = Arc::new(next);
        base.generations.store(Arc::clone(&next));
        let (changing, leaving) = links::sort(&base.links, &before, &next);
        let changed = Changed {
            is_change: listeners.is_change(&self.listeners)
                || pushes.is_change(&self.pushes)
                || !before.is_same(&next),
            links: changing.len(),
            leaving: leaving.len(),
        };
        let gone = change_over::gone(&before, &next);
        base.change_over.begin(changing, gone);
        let generations = Arc::clone(&base.generations);
        let let_go = links::let_go(leaving, generations, base.stop_accepting.clone());
        if changed.leaving > 0 {
            base.accepting.spawn(let_go);
        }
        let accepting = (&base.accepting, &base.stop_accepting);
        self.listeners.make(listeners, &base.gateway, accepting);
        self.pushes.make(pushes, accepting);
        self.presence.change(
            config.presence.as_ref(),
            (&base.id, &host, &config.backends),
            (&base.links, &base.counted.presence),
            (&base.background, &base.stop_background),
        );
        let told = of_cluster(&config);
        let began = match self.cluster.take() {
            Some(before) => before.began,
            None => told.clone(),
        };
        self.cluster = Some(InCluster { began, told });
        self.edges = edges;
        self.host = host;
        Ok(changed)
    }
}
