//! Documents to one configuration: what they say together, and whether that makes sense.

mod addresses;
mod cluster;
mod files;
mod fit;
mod names;
mod pipelines;
mod push;

use std::collections::BTreeMap;

use linkgate_filter::Registry;
use linkgate_filter::backend::{Backend, Backends};
use linkgate_filter::problem::Problems;
use linkgate_filter::runner::Declared;
use serde::de::DeserializeOwned;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::document::{Admin, Node};
use super::etcd::EtcdSource;
use super::read::{known_part, part, report};
use super::source::Sources;
use super::tree::{References, Tree};
use super::{Config, Warnings};
use crate::edges::config::{BrokerConfig, StoreConfig};
use crate::listener::config::ListenerConfig;
use crate::pipeline::Refused;
use crate::presence::PresenceConfig;
use addresses::Addresses;
use names::Names;

/// The configuration that the documents make, without the parts that are wrong.
pub(super) fn assemble(
    documents: &[Tree],
    registry: &Registry,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Config {
    let names = Names::collect(documents, diagnostics);
    let mut addresses = Addresses::default();
    let node = only::<Node>(documents, "node", diagnostics);
    let admin = only::<Admin>(documents, "admin", diagnostics);
    if let Some((admin, tree)) = &admin {
        let mut problems = Problems::new();
        admin.check(&mut problems);
        report(tree, problems, diagnostics);
        addresses.add(admin.address, tree, diagnostics);
    }
    for source in documents
        .iter()
        .filter_map(|document| document.get("config"))
    {
        check_source(source, diagnostics);
    }
    let listeners = listeners(documents, sources, &mut addresses, diagnostics);
    let backends = backends(&names, sources, diagnostics);
    let stores = edges(&names.stores, StoreConfig::check, diagnostics);
    let mut brokers = edges(&names.brokers, BrokerConfig::check, diagnostics);
    for (name, tree) in &names.brokers {
        if let Some(broker) = brokers.get_mut(*name) {
            files::of_broker(broker, tree, sources, diagnostics);
        }
    }
    let declared = Declared {
        backends,
        stores: stores.keys().cloned().collect(),
        brokers: brokers.keys().cloned().collect(),
    };
    let cluster = cluster::cluster(
        documents,
        &names,
        node.as_ref().map(|(node, _)| node),
        &mut addresses,
        diagnostics,
    );
    let has_directory = cluster
        .as_ref()
        .is_some_and(|cluster| cluster.directory.is_some());
    let push = push::push(
        documents,
        &names,
        push::Around {
            has_admin: admin.is_some(),
            has_node: node.is_some(),
            has_etcd: has_etcd(documents, sources),
            has_directory,
        },
        &mut addresses,
        diagnostics,
    );
    let presence = only::<PresenceConfig>(documents, "presence", diagnostics);
    if let Some((presence, tree)) = &presence {
        let mut problems = Problems::new();
        presence.check(&mut problems);
        report(tree, problems, diagnostics);
        push::check_destination(&presence.destination(), tree, &names, diagnostics);
    }
    let labels = node.as_ref().map_or(&[][..], |(node, _)| &node.labels);
    let pipelines = pipelines::pipelines(
        documents,
        &names,
        (&listeners, &declared, labels),
        registry,
        diagnostics,
    );
    Config {
        references: references(documents),
        node: node.map(|(node, _)| node).unwrap_or_default(),
        admin: admin.map(|(admin, _)| admin),
        listeners,
        stores,
        brokers,
        backends: declared.backends,
        pipelines,
        push,
        presence: presence.map(|(presence, _)| presence),
        cluster,
        refused: Refused::default(),
        documents: documents.len(),
        warnings: Warnings::default(),
    }
}

/// The references of parts that are not filled in, by how [`compare`](super::compare) calls the parts.
fn references(documents: &[Tree]) -> BTreeMap<String, References> {
    let mut found = BTreeMap::<String, References>::new();
    let mut add = |part: String, tree: &Tree| {
        let references = tree.references();
        if !references.is_empty() {
            found.entry(part).or_default().extend(references);
        }
    };
    for (key, tree) in documents.iter().flat_map(Tree::entries) {
        match key {
            "listeners" => {
                for listener in tree.items() {
                    let name = listener.get("name").and_then(Tree::text);
                    add(format!("listener {}", name.unwrap_or_default()), listener);
                }
            }
            "backends" | "stores" | "brokers" => {
                let kind = key.trim_end_matches('s');
                tree.entries()
                    .for_each(|(name, part)| add(format!("{kind} {name}"), part));
            }
            "push" => tree
                .entries()
                .for_each(|(name, part)| add(format!("push {name}"), part)),
            "node" | "admin" | "presence" | "cluster" => add(key.to_owned(), tree),
            _ => {}
        }
    }
    found
}

/// Whether documents come from etcd.
fn has_etcd(documents: &[Tree], sources: &Sources) -> bool {
    documents.iter().any(|tree| {
        let is_named = || {
            tree.get("config")
                .is_some_and(|tree| tree.get("etcd").is_some())
        };
        sources.is_from_etcd(tree.span.file) || is_named()
    })
}

/// Where the other documents are.
fn check_source(tree: &Tree, diagnostics: &mut Diagnostics) {
    let etcd = tree.get("etcd");
    if let Some((tree, etcd)) = etcd.and_then(|tree| Some((tree, part::<EtcdSource>(tree)?))) {
        let mut problems = Problems::new();
        etcd.check(&mut problems);
        report(tree, problems, diagnostics);
    }
    let says = ["directory", "files_root", "variables"];
    if says.iter().all(|key| tree.get(key).is_none()) && etcd.is_none() {
        let problem = Diagnostic::at(key_of(tree), "this does not say where documents are");
        diagnostics.push(
            problem.hint("add `directory: ./conf.d`, or `etcd: { endpoints: [...], prefix: ... }`"),
        );
    }
}

/// The section `key`, which one document at most may have.
fn only<'a, T: DeserializeOwned>(
    documents: &'a [Tree],
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(T, &'a Tree)> {
    let mut found = documents.iter().filter_map(|document| document.get(key));
    let first = found.next()?;
    for other in found {
        let problem = Diagnostic::at(key_of(other), format!("`{key}` stands in two documents"))
            .also(key_of(first), "it is here already");
        diagnostics.push(problem.hint("keep one of them"));
    }
    Some((part(first)?, first))
}

/// Where the name of a named part stands.
fn key_of(tree: &Tree) -> super::source::Span {
    tree.key.unwrap_or(tree.span)
}

fn listeners(
    documents: &[Tree],
    sources: &Sources,
    addresses: &mut Addresses,
    diagnostics: &mut Diagnostics,
) -> Vec<ListenerConfig> {
    let mut listeners = Vec::new();
    for tree in documents
        .iter()
        .filter_map(|document| document.get("listeners"))
        .flat_map(Tree::items)
    {
        let Some(mut listener) = known_part::<ListenerConfig>(tree) else {
            continue;
        };
        let may_read = files::of_listener(&mut listener, tree, sources, diagnostics);
        let mut problems = Problems::new();
        listener.check(&mut problems);
        if may_read {
            listener.check_certificate(&mut problems);
        }
        report(tree, problems, diagnostics);
        if let Some(address) = tree.get("address") {
            addresses.add(listener.address, address, diagnostics);
        }
        listeners.push(listener);
    }
    listeners
}

/// All backends. One that is wrong is stood in for, so that filters which name it find it.
fn backends(names: &Names<'_>, sources: &Sources, diagnostics: &mut Diagnostics) -> Backends {
    let mut backends = Backends::new();
    for (name, tree) in &names.backends {
        let mut backend = known_part::<Backend>(tree).unwrap_or_else(stand_in);
        let mut problems = Problems::new();
        backend.grpc.check(&mut problems);
        if let Some(grpc) = tree.get("grpc") {
            report(grpc, problems, diagnostics);
        }
        files::of_backend(&mut backend, tree, sources, diagnostics);
        backends.insert((*name).to_owned(), backend);
    }
    backends
}

/// All stores, or all brokers. One that is wrong is there all the same, so that filters which name it find it.
fn edges<T: DeserializeOwned + Default>(
    named: &BTreeMap<&str, &Tree>,
    check: impl Fn(&T, &mut Problems),
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, T> {
    let mut edges = BTreeMap::new();
    for (name, tree) in named {
        let edge = part::<T>(tree);
        if let Some(edge) = &edge {
            let mut problems = Problems::new();
            check(edge, &mut problems);
            report(tree, problems, diagnostics);
        }
        edges.insert((*name).to_owned(), edge.unwrap_or_default());
    }
    edges
}

fn stand_in() -> Backend {
    Backend {
        grpc: linkgate_filter::backend::GrpcBackend::at("localhost:1"),
    }
}
