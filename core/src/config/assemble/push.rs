//! Pushes: the sources of all documents together, and what the one document says that has more to say of them.

use linkgate_filter::problem::{Mark, Path, Problems};
use serde::de::DeserializeOwned;

use super::addresses::Addresses;
use super::key_of;
use super::names::{Names, undefined};
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::read::{known_part, report};
use crate::config::source::Span;
use crate::config::tree::Tree;
use crate::outbox::Destination;
use crate::push::{PushConfig, PushLimits, PushSource, Routing, TopicSource};

/// What else the documents say.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) has_admin: bool,
    pub(super) has_node: bool,
    /// Documents come from etcd, which several nodes may follow.
    pub(super) has_etcd: bool,
    /// The cluster has a directory.
    pub(super) has_directory: bool,
}

pub(super) fn push(
    documents: &[Tree],
    names: &Names<'_>,
    around: Around,
    addresses: &mut Addresses,
    diagnostics: &mut Diagnostics,
) -> PushConfig {
    let sections: Vec<&Tree> = documents
        .iter()
        .filter_map(|document| document.get("push"))
        .collect();
    let (mut sources, mut https) = (Vec::<PushSource>::new(), None);
    let mut topics: Vec<(&Tree, TopicSource)> = Vec::new();
    for tree in sections
        .iter()
        .filter_map(|push| push.get("sources"))
        .flat_map(Tree::items)
    {
        let Some(mut source) = known_part::<PushSource>(tree) else {
            continue;
        };
        if source.routing == Some(Routing::Directory) && !around.has_directory {
            let span = tree.locate(&Path::from("routing"), Mark::Value);
            let problem = Diagnostic::at(span, "there is no directory of users");
            diagnostics.push(problem.hint(
                "add `cluster: { directory: { store: main }, ... }`; without one a single node writes `routing: local`, several \
                 write `routing: broadcast`",
            ));
        }
        if around.has_directory {
            source.routing.get_or_insert(Routing::Directory);
        }
        let mut problems = Problems::new();
        source.check(&mut problems);
        report(tree, problems, diagnostics);
        if let (Some(grpc), Some(address)) = (
            &source.grpc,
            tree.get("grpc").and_then(|grpc| grpc.get("address")),
        ) {
            addresses.add(grpc.address, address, diagnostics);
        }
        if let Some(kafka) = &source.kafka {
            check_broker(&kafka.broker, tree, names, diagnostics);
            match source.routing {
                Some(Routing::Broadcast) => check_broadcast(tree, around.has_node, diagnostics),
                None if around.has_etcd && tree.get("routing").is_none() => {
                    let what = "documents come from etcd, which several nodes may follow: this source does not say how a \
                                push finds the node of its user";
                    let problem = Diagnostic::at(key_of_kafka(tree), what);
                    diagnostics.push(problem.hint(
                        "beside `kafka` write `routing: local` for a single node, or `routing: broadcast` for several",
                    ));
                }
                _ => {}
            }
            for (other_tree, other) in &topics {
                check_apart((tree, kafka), (other_tree, other), diagnostics);
            }
            topics.push((tree, kafka.clone()));
        }
        if let Some(http) = tree.get("http") {
            check_http(
                http,
                around.has_admin,
                https.replace(key_of(http)),
                diagnostics,
            );
        }
        sources.push(source);
    }
    let reports = only::<Destination>(&sections, "reports", Destination::check, diagnostics);
    if let Some((tree, reports)) = &reports {
        check_destination(reports, tree, names, diagnostics);
    }
    let limits = only::<PushLimits>(&sections, "limits", PushLimits::check, diagnostics);
    PushConfig {
        sources,
        reports: reports.map(|(_, reports)| reports),
        limits: limits.map(|(_, limits)| limits).unwrap_or_default(),
    }
}

/// Says what broadcast cannot promise, and what it needs for what it can.
fn check_broadcast(tree: &Tree, has_node: bool, diagnostics: &mut Diagnostics) {
    let span = tree.locate(&Path::from("routing"), Mark::Value);
    let what = "`routing: broadcast` may lose pushes across nodes, and repeat them";
    diagnostics.warn(Diagnostic::at(span, what).hint(
        "a push that no node delivers is neither parked nor reported offline, and one to a user who moves between nodes \
         may come twice or not at all; on a single node write `routing: local`",
    ));
    if !has_node {
        let what = "nodes without ids of their own would share the pushes, not have them all";
        let problem = Diagnostic::at(span, what);
        diagnostics.push(problem.hint("add `node: { id: \"${HOSTNAME}\" }`"));
    }
}

/// What one source writes, no other may read as if it were new.
fn check_apart(
    (tree, source): (&Tree, &TopicSource),
    (other_tree, other): (&Tree, &TopicSource),
    diagnostics: &mut Diagnostics,
) {
    if source.broker != other.broker {
        return;
    }
    let same_park = source.park() == other.park() && source.group != other.group;
    let reads = |one: &TopicSource, other: &TopicSource| {
        one.topic == other.park() || one.topic == other.dead_letter()
    };
    let what = if same_park {
        "two groups would both take up what is parked"
    } else if reads(source, other) || reads(other, source) {
        "one source would read what the other has parked or put aside"
    } else {
        return;
    };
    let problem = Diagnostic::at(key_of_kafka(tree), what);
    let problem = problem.also(key_of_kafka(other_tree), "the other one is here");
    diagnostics.push(problem.hint("give each source a `park` and a `dead_letter` of its own"));
}

fn key_of_kafka(tree: &Tree) -> Span {
    tree.get("kafka").map_or(tree.span, key_of)
}

/// A part of `push:` that one document at most has.
fn only<'a, T: DeserializeOwned>(
    sections: &[&'a Tree],
    key: &str,
    check: impl Fn(&T, &mut Problems),
    diagnostics: &mut Diagnostics,
) -> Option<(&'a Tree, T)> {
    let mut found = sections.iter().filter_map(|push| push.get(key));
    let tree = found.next()?;
    for other in found {
        let what = format!("`push.{key}` is defined twice");
        let problem =
            Diagnostic::at(key_of(other), what).also(key_of(tree), "the other one is here");
        diagnostics.push(problem.hint("keep one of them"));
    }
    let part = known_part::<T>(tree)?;
    let mut problems = Problems::new();
    check(&part, &mut problems);
    report(tree, problems, diagnostics);
    Some((tree, part))
}

/// There is one admin address, and so one place for HTTP.
fn check_http(tree: &Tree, has_admin: bool, other: Option<Span>, diagnostics: &mut Diagnostics) {
    if !has_admin {
        let problem = Diagnostic::at(key_of(tree), "there is no admin address to push to");
        diagnostics.push(problem.hint("add `admin: { address: 127.0.0.1:9901 }`"));
    }
    if let Some(other) = other {
        let problem = Diagnostic::at(key_of(tree), "there are two `http` sources");
        let problem = problem.also(other, "the other one is here");
        diagnostics.push(problem.hint("name all callers in the `auth` of one"));
    }
}

/// Reports a broker or a backend that is not defined.
pub(super) fn check_destination(
    destination: &Destination,
    tree: &Tree,
    names: &Names<'_>,
    diagnostics: &mut Diagnostics,
) {
    if let Some(kafka) = &destination.kafka {
        check_broker(&kafka.broker, tree, names, diagnostics);
    }
    if let Some(grpc) = &destination.grpc
        && !names.backends.contains_key(&*grpc.backend)
    {
        let span = tree.locate(&Path::from(["grpc", "backend"]), Mark::Value);
        let known = names.backends.keys().copied();
        diagnostics.push_undefined(undefined("backend", &grpc.backend, span, known));
    }
}

/// Reports a broker that is not defined, which `tree` names under `kafka.broker`.
fn check_broker(name: &str, tree: &Tree, names: &Names<'_>, diagnostics: &mut Diagnostics) {
    if !names.brokers.contains_key(name) {
        let span = tree.locate(&Path::from(["kafka", "broker"]), Mark::Value);
        let known = names.brokers.keys().copied();
        diagnostics.push_undefined(undefined("broker", name, span, known));
    }
}
