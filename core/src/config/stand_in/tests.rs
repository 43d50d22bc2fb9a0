use linkgate_filter::problem::deserialize;

use super::*;
use crate::config::diagnostics::Diagnostics;
use crate::config::parse::parse;
use crate::config::source::Sources;
use crate::config::tree::{Node, reference};
use crate::listener::config::ListenerConfig;

/// A tree in which every text `${...}` is a reference.
fn tree(text: &str) -> Tree {
    fn mark(tree: &mut Tree) {
        match &mut tree.node {
            Node::Leaf { value, .. } => {
                if let Some(text) = value.as_str().filter(|text| text.contains("${")) {
                    *value = reference(text);
                }
            }
            Node::List(items) => items.iter_mut().for_each(mark),
            Node::Map(entries) => entries.iter_mut().for_each(|(_, value)| mark(value)),
        }
    }
    let mut sources = Sources::default();
    let file = sources.push("test.yaml", text);
    let mut tree = parse(&sources, file, &mut Diagnostics::default()).remove(0);
    mark(&mut tree);
    tree
}

#[test]
fn a_reference_is_stood_in_for_wherever_it_stands() {
    let schema = schemars::schema_for!(ListenerConfig).to_value();
    let text = "
name: public
address: ${A}
auth: ${B}
proxy_protocol: ${C}
trusted_proxies: [\"${D}\"]
expose_insecure_query: ${E}
origins: [\"${F}\"]
drain: ${G}
backlog: ${H}
websocket: { max_message: \"${I}\" }
timeouts: { idle: \"${J}\" }
";
    let mut tree = tree(text);
    let references = tree.references();
    assert_eq!(references.len(), 10);
    let check = |tree: &Tree| {
        let read = deserialize::<ListenerConfig>(&tree.value());
        read.err().unwrap_or_default()
    };
    assert!(!check(&tree).is_empty());
    let left = settle(&mut tree, &schema, check);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(
        tree.references(),
        references,
        "they are told by their texts"
    );
}

#[test]
fn what_has_no_reference_is_left_alone() {
    let schema = schemars::schema_for!(ListenerConfig).to_value();
    let mut tree = tree("{ name: public, address: nowhere, auth: insecure_query }");
    let before = tree.value();
    let check = |tree: &Tree| {
        let read = deserialize::<ListenerConfig>(&tree.value());
        read.err().unwrap_or_default()
    };
    assert_eq!(settle(&mut tree, &schema, check).len(), 1);
    assert_eq!(tree.value(), before);
}
