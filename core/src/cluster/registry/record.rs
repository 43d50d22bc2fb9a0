//! What a node says of itself.

mod json;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::edges::directory::{Incarnation, Life};

/// What a node says of itself. In the registry a JSON object: what the gateways of older fleets write, by the same names,
/// and `linkgate`, which they leave out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeRecord {
    /// The node's id.
    pub id: Arc<str>,
    /// The host at which clients reach it; from `public`, or `advertise`. May be empty.
    pub ip: String,
    /// The port at which clients reach it; 0 if none is told.
    pub port: u16,
    /// Its share of links against other nodes.
    pub weight: u32,
    /// Where it stands.
    pub location: String,
    /// Words by which nodes are grouped.
    pub labels: Vec<String>,
    /// Links that it may hold.
    pub capacity: u64,
    /// What it carries.
    pub load: Load,
    /// Its life; none of a node of an older gateway, which tells none of what follows either.
    pub incarnation: Option<Incarnation>,
    /// Where other nodes reach it, as `host:port`.
    pub peer: String,
    /// Where clients reach it, such as `wss://gw1.example.com/ws`; empty if none is told.
    pub public: String,
    /// What it does.
    pub state: NodeState,
    /// The version of linkgate.
    pub version: String,
    /// The schema of its configuration.
    pub schema: u32,
    /// The generation of its configuration.
    pub generation: u64,
    /// The lives of shards of the directory in which all of its links stand.
    pub lives: BTreeSet<Life>,
}

/// What a node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Load {
    /// Links.
    pub links: u64,
    /// How hard its machine works, in thousandths: of CPU, memory and messages, whichever is the most.
    pub pressure: u16,
}

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It begins.
    #[default]
    Starting,
    /// It serves.
    Serving,
    /// It lets its links go. What a newer version calls by a name of its own counts as this.
    Draining,
    /// It ends.
    Stopping,
}
