//! The cluster: what it says with the other parts.

use linkgate_filter::problem::{Mark, Path, Problems};

use super::addresses::Addresses;
use super::names::{Names, undefined};
use super::{key_of, only};
use crate::cluster::config::ClusterConfig;
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::document::Node;
use crate::config::read::report;
use crate::config::tree::Tree;

pub(super) fn cluster(
    documents: &[Tree],
    names: &Names<'_>,
    node: Option<&Node>,
    addresses: &mut Addresses,
    diagnostics: &mut Diagnostics,
) -> Option<ClusterConfig> {
    let (mut cluster, tree) = only::<ClusterConfig>(documents, "cluster", diagnostics)?;
    let advertised = cluster.peers.advertise.take();
    cluster.peers.advertise = advertised.or_else(|| node?.advertise.clone());
    let mut problems = Problems::new();
    cluster.check(&mut problems);
    report(tree, problems, diagnostics);
    if let Some(peers) = tree.get("peers") {
        addresses.add(cluster.peers.address, peers, diagnostics);
    }
    if node.is_none() {
        let what = "nodes without ids of their own would take each other's place";
        let problem = Diagnostic::at(key_of(tree), what);
        diagnostics.push(problem.hint("add `node: { id: \"${HOSTNAME}\" }`"));
    }
    if let Some(directory) = &cluster.directory
        && !names.stores.contains_key(&*directory.store)
    {
        let span = tree.locate(&Path::from(["directory", "store"]), Mark::Value);
        let known = names.stores.keys().copied();
        diagnostics.push_undefined(undefined("store", &directory.store, span, known));
    }
    Some(cluster)
}
