//! What a document may say: the types of the configuration. Their doc comments are the user docs.
//!
//! Node, platform and business documents differ only in who owns them and so in which keys they use; one file may hold
//! all of them. What makes sense together is checked where they are assembled.

mod check;
mod node;
mod pipeline;

use std::collections::BTreeMap;

use linkgate_filter::backend::Backend;
use schemars::JsonSchema;
use serde::Deserialize;

pub use node::{ConfigSource, IdleUsers, Node};
pub use pipeline::{Entry, Limits, Pipeline, Rollout};

pub use crate::admin::AdminConfig as Admin;
use crate::cluster::config::ClusterConfig;
use crate::edges::config::{BrokerConfig, StoreConfig};
use crate::listener::config::ListenerConfig;
use crate::presence::PresenceConfig;
use crate::push::PushConfig;

/// The number that `schema:` has to say, of all this build reads.
pub const SCHEMA: u32 = 1;

/// A document of a linkgate configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "linkgate configuration")]
pub struct Document {
    /// The version of the configuration's form: 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// Who this node is. In one document at most.
    #[serde(default)]
    pub node: Option<Node>,
    /// The address for operators: health, readiness and metrics. Default: none is opened.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// Where the other documents are. Default: only the files named on the command line are read.
    #[serde(default)]
    pub config: Option<ConfigSource>,
    /// Addresses that accept links.
    #[serde(default)]
    pub listeners: Vec<ListenerConfig>,
    /// The services of businesses, by name.
    #[serde(default)]
    pub backends: BTreeMap<String, Backend>,
    /// Key-value stores, by name.
    #[serde(default)]
    pub stores: BTreeMap<String, StoreConfig>,
    /// Message brokers, by name.
    #[serde(default)]
    pub brokers: BTreeMap<String, BrokerConfig>,
    /// Lists of filters that pipelines share, by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Vec<Entry>>,
    /// What happens to the messages of each business.
    #[serde(default)]
    pub pipelines: Vec<Pipeline>,
    /// Where messages for users come from.
    #[serde(default)]
    pub push: Option<PushConfig>,
    /// Who is told which users come and go. In one document at most. Default: nobody.
    #[serde(default)]
    pub presence: Option<PresenceConfig>,
    /// How this node and others work as one. In one document at most. Default: the node is alone.
    #[serde(default)]
    pub cluster: Option<ClusterConfig>,
}
