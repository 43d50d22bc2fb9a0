//! What the configuration says of the cluster, and what of it makes sense.

mod peers;

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::peers::{PeersConfig, PeersQueue, PeersTls};
use crate::edges::etcd::{EtcdSource, check_prefix};

/// Many nodes as one: they find each other in a registry, a push finds its user on whichever node they are, and one node
/// knows when another is gone. A change takes a restart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Where nodes find each other.
    pub registry: RegistryConfig,
    /// How nodes reach each other.
    pub peers: PeersConfig,
    /// Where it is kept which users are on which nodes. With it `routing: directory` is the default of push sources. Default:
    /// nowhere; then a push finds users of its own node only, or has to be broadcast.
    #[serde(default)]
    pub directory: Option<DirectoryConfig>,
    /// A node that is not registered and does not answer for so long is given up: its links count as gone. Default: 30s, at
    /// least twice the registry's `lease`.
    #[serde(default = "ClusterConfig::suspect_for")]
    pub suspect_for: HumanDuration,
}

/// Where it is kept which users are on which nodes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The name of a store. In memory it is for nodes in one process alone.
    pub store: String,
    /// A user whose links have not changed and were not confirmed for so long is forgotten. Links are confirmed after half of
    /// it. Default: 2d, at least 10m.
    #[serde(default = "DirectoryConfig::keep")]
    pub keep: HumanDuration,
    /// What becomes of new links while the store does not answer. Default: `admit`.
    #[serde(default)]
    pub on_failure: OnDirectoryFailure,
    /// The links of a node that is gone stay in the directory for so long: their clients may come back. Default: 2m.
    #[serde(default = "DirectoryConfig::resume_for")]
    pub resume_for: HumanDuration,
    /// As many users who are waited for are looked for in a second. Default: 1000.
    #[serde(default = "DirectoryConfig::max_looks")]
    #[schemars(range(min = 1))]
    pub max_looks: u32,
}

/// What becomes of new links while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDirectoryFailure {
    /// They are served, once no node can take it that they stand in the directory; pushes from other nodes find them by
    /// asking.
    #[default]
    Admit,
    /// They are closed with 4006 `overloaded`, and come again later.
    Refuse,
}

impl ClusterConfig {
    fn suspect_for() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    /// Notes what is wrong beyond the types of its values.
    pub fn check(&self, problems: &mut Problems) {
        let mut part = Problems::new();
        self.registry.check(&mut part);
        problems.extend_under(&Path::from("registry"), part);
        let mut part = Problems::new();
        self.peers.check(&mut part);
        problems.extend_under(&Path::from("peers"), part);
        if *self.suspect_for < *self.registry.lease * 2 {
            problems
                .at("suspect_for", "a node that lives could be given up: this has to be at least twice `registry.lease`")
                .hint("write a longer duration, or a shorter lease");
        }
        if let Some(directory) = &self.directory {
            let mut part = Problems::new();
            directory.check(&mut part);
            problems.extend_under(&Path::from("directory"), part);
        }
    }
}

impl DirectoryConfig {
    const LEAST_KEEP: Duration = Duration::from_secs(600);

    /// In this store, with the defaults.
    pub fn of(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            keep: Self::keep(),
            on_failure: OnDirectoryFailure::default(),
            resume_for: Self::resume_for(),
            max_looks: Self::max_looks(),
        }
    }

    fn keep() -> HumanDuration {
        Duration::from_secs(2 * 86_400).into()
    }

    fn resume_for() -> HumanDuration {
        Duration::from_secs(120).into()
    }

    fn max_looks() -> u32 {
        1000
    }

    fn check(&self, problems: &mut Problems) {
        if *self.keep < Self::LEAST_KEEP {
            problems
                .at("keep", "this has to be at least 10m")
                .hint("write a duration such as `2d`");
        }
        if self.max_looks == 0 {
            problems
                .at("max_looks", "0 would look for nobody")
                .hint("write 1 or more, or leave it out");
        }
    }
}

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
