//! What a node's own document says.

use std::path::PathBuf;
use std::time::Duration;

use linkgate_filter::runner::StateLimits;
use linkgate_filter::units::{HumanDuration, Rate};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::etcd::EtcdSource;

/// Who this node is: shown as labels of the metric `linkgate_node_info`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The node's name among all nodes, such as `"${HOSTNAME}"`. Default, where there is no `node` at all: `local`.
    pub id: String,
    /// The address at which others reach this node, as `host:port`. Default: none is told.
    #[serde(default)]
    pub advertise: Option<String>,
    /// The address at which clients reach this node, such as `wss://gw1.example.com/ws`, where it has one of its own.
    /// Default: none is told.
    #[serde(default)]
    pub public: Option<String>,
    /// Links that this node may hold, for whatever spreads them. Default: 0, which says nothing.
    #[serde(default)]
    pub capacity: u64,
    /// Words by which nodes are grouped. Default: none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Where the node stands, such as a data centre. Default: empty.
    #[serde(default)]
    pub location: String,
    /// Its share of links against other nodes, for whatever spreads them. Default: 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// What is kept of users who have no link, such as the quota they have spent.
    #[serde(default)]
    pub idle_users: IdleUsers,
    /// How many links a second go over to other filters after a change of the configuration, of all businesses together,
    /// which take turns. Default: `10000/s`.
    #[serde(default = "change_over")]
    pub change_over: Rate,
}

/// What is kept of users who have no link.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdleUsers {
    /// How many users; beyond it those idle longest are forgotten first. Default: 100000.
    pub max: u32,
    /// For how long. Default: 10m.
    pub keep: HumanDuration,
}

impl Default for IdleUsers {
    fn default() -> Self {
        Self {
            max: 100_000,
            keep: Duration::from_secs(600).into(),
        }
    }
}

impl From<IdleUsers> for StateLimits {
    fn from(limits: IdleUsers) -> Self {
        Self {
            idle_users: limits.max as usize,
            keep_users: *limits.keep,
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: "local".to_owned(),
            advertise: None,
            public: None,
            capacity: 0,
            labels: Vec::new(),
            location: String::new(),
            weight: one(),
            idle_users: IdleUsers::default(),
            change_over: change_over(),
        }
    }
}

impl Node {
    /// The host and the port at which clients reach it, or others do; empty and 0 if none is told.
    pub fn public_place(&self) -> (String, u16) {
        let url = self.public.as_deref().map(|url| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
            let port = if scheme == "wss" { 443 } else { 80 };
            (rest.split('/').next().unwrap_or_default(), port)
        });
        let place = url.or_else(|| Some((self.advertise.as_deref()?, 0)));
        let Some((authority, port)) = place else {
            return (String::new(), 0);
        };
        match authority
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse()))
        {
            Some((host, Ok(port))) => (host.to_owned(), port),
            _ => (authority.to_owned(), port),
        }
    }
}

fn one() -> u32 {
    1
}

fn change_over() -> Rate {
    Rate::per_second_of(10_000)
}

/// Where the other documents are. A document that stands on the machine itself takes the place of one of the same name in
/// etcd.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigSource {
    /// A directory whose `*.yaml` and `*.yml` files are read too. Begins at the folder of this document.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// An etcd whose documents are read too. They may name what `files_root` and `variables` grant.
    #[serde(default)]
    pub etcd: Option<EtcdSource>,
    /// The folder below which files are that documents from etcd may name, by `${file:PATH}` or by a path as of `tls.cert`;
    /// their paths begin there. Neither `..` nor a symbolic link leads out of it. Begins at the folder of this document. Default: they may name
    /// none.
    #[serde(default)]
    pub files_root: Option<PathBuf>,
    /// The environment variables that documents from etcd may name by `${NAME}`. Default: none.
    #[serde(default)]
    pub variables: Vec<String>,
    /// A directory of this node for the last good version of each document, for a start at which one is wrong or cannot be
    /// had. It may hold secrets that stand in documents; only this user can read it. Begins at the folder of this document.
    /// Default: none is kept.
    #[serde(default)]
    pub cache: Option<PathBuf>,
}
