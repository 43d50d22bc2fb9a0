//! The keys of the registry, and what stands there.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{Boot, NodeRecord};
use crate::edges::etcd::{Bound, Range};
use crate::telemetry::limit::Every;

/// The most nodes, and what they may say together.
const BOUND: Bound = Bound {
    keys: 10_000,
    bytes: 16 << 20,
};

/// The keys of a registry.
pub(super) struct Keys {
    boots: Range,
    nodes: Range,
}

/// The value of a key of `boots/`.
#[derive(Default, Serialize, Deserialize)]
struct BootValue {
    instance: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, nodes: Option<&str>) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let nodes = match nodes {
            Some(nodes) => format!("{}/", nodes.trim_end_matches('/')),
            None => format!("{prefix}/nodes/"),
        };
        Self {
            boots: Range::of(format!("{prefix}/boots/"), BOUND),
            nodes: Range::of(nodes, BOUND),
        }
    }

    pub(super) fn boots(&self) -> &Range {
        &self.boots
    }

    pub(super) fn nodes(&self) -> &Range {
        &self.nodes
    }

    pub(super) fn boot(&self, node: &str) -> String {
        format!("{}{node}", self.boots.from)
    }

    pub(super) fn node(&self, node: &str) -> String {
        format!("{}{node}", self.nodes.from)
    }

    /// A boot stands even if its value cannot be read: whatever is made of it, this life has begun.
    pub(super) fn read_boot(&self, key: &str, value: &[u8]) -> Option<Boot> {
        let node = name(&self.boots, key)?;
        let value: BootValue = serde_json::from_slice(value).unwrap_or_default();
        Some(Boot {
            node: node.into(),
            instance: value.instance.into(),
        })
    }

    pub(super) fn read_node(&self, key: &str, value: &[u8]) -> Option<Arc<NodeRecord>> {
        static UNREADABLE: Every = Every::new(Duration::from_secs(60));
        match NodeRecord::from_json(name(&self.nodes, key)?, value) {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                if let Some(held_back) = UNREADABLE.pass() {
                    tracing::warn!(
                        key, %error, held_back,
                        "this key of the registry is left out: its value is no node; remove what does not belong there"
                    );
                }
                None
            }
        }
    }
}

pub(super) fn boot_value(instance: &str) -> String {
    let instance = instance.to_owned();
    // A text is always a text.
    serde_json::to_string(&BootValue { instance }).unwrap_or_default()
}

fn name<'a>(range: &Range, key: &'a str) -> Option<&'a str> {
    key.strip_prefix(&range.from)
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_below_their_prefixes_with_or_without_a_slash() {
        let keys = Keys::new("/linkgate/", None);
        assert_eq!(keys.boot("gw1"), "/linkgate/boots/gw1");
        assert_eq!(keys.node("gw1"), "/linkgate/nodes/gw1");
        for nodes in ["/services/gateway/node", "/services/gateway/node/"] {
            let keys = Keys::new("/linkgate", Some(nodes));
            assert_eq!(keys.node("gw1"), "/services/gateway/node/gw1");
            assert_eq!(keys.nodes().to, "/services/gateway/node0");
        }
    }

    #[test]
    fn a_boot_that_cannot_be_read_stands_and_a_node_is_left_out() {
        let keys = Keys::new("/p", None);
        let read = keys.read_boot("/p/boots/a", boot_value("x\"").as_bytes());
        assert_eq!(&*read.unwrap().instance, "x\"");
        let read = keys.read_boot("/p/boots/a", b"what is this").unwrap();
        assert_eq!((&*read.node, &*read.instance), ("a", ""));
        assert_eq!(keys.read_boot("/p/boots/", b""), None);
        assert_eq!(keys.read_node("/p/nodes/a", b"what is this"), None);
        assert!(keys.read_node("/p/nodes/a", b"{}").is_some());
    }
}
