//! What the configuration says of the cluster, and what of it makes sense.

mod peers;

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::peers::{PeersConfig, PeersQueue, PeersTls};
use crate::edges::etcd::{EtcdSource, check_prefix};

/// Where nodes find each other. Either `etcd` or `memory` says of which kind it is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// etcd, shared by all nodes. What is kept there stands under `boots/` and `nodes/` below its prefix.
    pub etcd: Option<EtcdSource>,
    /// In this process: for trying things out. No other process can be of the cluster.
    pub memory: Option<MemoryRegistryConfig>,
    /// With `etcd`: the keys that say what nodes are begin with this, and end with the node's id; a slash at its end makes no
    /// difference. `/services/gateway/node/` is where programs look that were written for the older gateway. The role of
    /// etcd's user needs to read and write there too. Default: `nodes/` below the prefix of `etcd`.
    pub nodes: Option<String>,
    /// A node that does not answer etcd any more counts as registered for so long. It asks etcd three times as often.
    /// Default: 10s, full seconds, at least 2s.
    pub lease: HumanDuration,
}

/// A registry in this process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryRegistryConfig {}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            etcd: None,
            memory: None,
            nodes: None,
            lease: Duration::from_secs(10).into(),
        }
    }
}

impl RegistryConfig {
    const LEAST_LEASE: Duration = Duration::from_secs(2);

    /// Notes what is wrong beyond the types of its values.
    pub fn check(&self, problems: &mut Problems) {
        const KINDS: &str = "write `etcd: { endpoints: [\"127.0.0.1:2379\"] }` or `memory: {}`";
        match (&self.etcd, &self.memory) {
            (Some(etcd), None) => {
                let mut part = Problems::new();
                etcd.check(&mut part);
                problems.extend_under(&Path::from("etcd"), part);
                self.check_nodes(etcd, problems);
            }
            (None, Some(_)) if self.nodes.is_some() => {
                problems
                    .at("nodes", "this says where in etcd, and there is no etcd")
                    .hint("leave it out, or write `etcd` in place of `memory`");
            }
            (None, Some(_)) => {}
            (None, None) => {
                problems
                    .at(Path::root(), "this names no kind of registry")
                    .hint(KINDS);
            }
            (Some(_), Some(_)) => {
                problems
                    .at(Path::root(), "this names two kinds of registry")
                    .hint(KINDS);
            }
        }
        if *self.lease < Self::LEAST_LEASE || self.lease.subsec_nanos() != 0 {
            problems
                .at("lease", "this has to be full seconds, and at least 2s")
                .hint("write a duration such as `10s`");
        }
    }

    fn check_nodes(&self, etcd: &EtcdSource, problems: &mut Problems) {
        let Some(nodes) = &self.nodes else {
            return;
        };
        if let Err(why) = check_prefix(nodes) {
            problems
                .at("nodes", why)
                .hint("write a path such as `/services/gateway/node/`");
            return;
        }
        let nodes = format!("{}/", nodes.trim_end_matches('/'));
        let boots = format!("{}/boots/", etcd.prefix.trim_end_matches('/'));
        if nodes.starts_with(&boots) || boots.starts_with(&nodes) {
            problems
                .at("nodes", format!("other keys of linkgate are here: {boots}"))
                .hint("write a path that holds nothing else, or leave it out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> Vec<String> {
        let config: RegistryConfig = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    fn is_wrong(yaml: &str, what: &str) {
        let found = problems(yaml);
        let [problem] = &*found else {
            panic!("{yaml}: {found:?}");
        };
        assert!(problem.contains(what), "{yaml}: {problem}");
    }

    #[test]
    fn what_makes_sense_is_taken_with_its_defaults() {
        let config: RegistryConfig = serde_yaml::from_str("{ memory: {} }").unwrap();
        assert_eq!(*config.lease, Duration::from_secs(10));
        assert_eq!(problems("{ memory: {}, lease: 2s }"), Vec::<String>::new());
        if cfg!(feature = "etcd") {
            let etcd = "etcd: { endpoints: [\"127.0.0.1:2379\"] }";
            let config: RegistryConfig = serde_yaml::from_str(&format!("{{ {etcd} }}")).unwrap();
            assert_eq!(config.etcd.unwrap().prefix, "/linkgate");
            for nodes in [
                "/services/gateway/node/",
                "/services/gateway/node",
                "/linkgate/nodes",
            ] {
                let yaml = format!("{{ {etcd}, nodes: {nodes} }}");
                assert_eq!(problems(&yaml), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        is_wrong("{}", "no kind");
        is_wrong("{ memory: {}, nodes: /n/ }", "there is no etcd");
        for lease in ["1s", "2500ms", "0s"] {
            is_wrong(
                &format!("{{ memory: {{}}, lease: {lease} }}"),
                "full seconds",
            );
        }
        let etcd = "etcd: { endpoints: [\"127.0.0.1:2379\"] }";
        is_wrong(&format!("{{ {etcd}, memory: {{}} }}"), "two kinds");
        if cfg!(feature = "etcd") {
            is_wrong(&format!("{{ {etcd}, nodes: services }}"), "slash");
            for nodes in ["/linkgate/", "/linkgate/boots/", "/linkgate/boots/x"] {
                is_wrong(&format!("{{ {etcd}, nodes: {nodes} }}"), "other keys");
            }
            is_wrong("{ etcd: { endpoints: [] } }", "no member");
        }
    }
}
