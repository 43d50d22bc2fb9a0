//! From the text of configuration files to a checked configuration with prepared pipelines.
//!
//! Text, then trees that keep places ([`tree`]), references filled in, then types ([`document`]), then checks across
//! documents, then prepared filters. All problems are found in one go and shown at their places ([`diagnostics`]).
//! Nothing is opened or started here: `linkgate validate` and `linkgate run` do the same up to this point.

mod assemble;
mod describe;
pub mod diagnostics;
pub mod document;
pub mod etcd;
mod files;
mod fill;
mod parse;
mod read;
pub mod schema;
mod secrets;
pub mod source;
pub mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use linkgate_filter::backend::Backends;
use linkgate_filter::{Entry, Plan, Registry};

pub use diagnostics::Diagnostics;
use document::{Admin, Limits, Node};
use source::Sources;

use crate::edges::config::{BrokerConfig, StoreConfig};
use crate::listener::config::ListenerConfig;
use crate::pipeline::Share;
use crate::presence::PresenceConfig;
use crate::push::PushConfig;

/// A configuration without problems.
#[derive(Debug)]
pub struct Config {
    /// Who this node is.
    pub node: Node,
    /// The address for operators, if there is to be one.
    pub admin: Option<Admin>,
    /// Addresses that accept links; no two share a name or an address.
    pub listeners: Vec<ListenerConfig>,
    /// The services of businesses.
    pub backends: Backends,
    /// Key-value stores.
    pub stores: BTreeMap<String, StoreConfig>,
    /// Message brokers.
    pub brokers: BTreeMap<String, BrokerConfig>,
    /// At most one for each business and listener.
    pub pipelines: Vec<PipelineConfig>,
    /// Where pushes come from.
    pub push: PushConfig,
    /// Who is told which users come and go.
    pub presence: Option<PresenceConfig>,
    /// How many documents it was read from.
    pub documents: usize,
}

/// A pipeline whose filters are prepared.
#[derive(Debug)]
pub struct PipelineConfig {
    /// The business.
    pub biz_id: String,
    /// The names of the listeners it is served on.
    pub listeners: Vec<String>,
    /// What the business may use of a node.
    pub limits: Limits,
    /// Its filters.
    pub standard: VersionConfig,
    /// Other versions of them, each for a share of its users.
    pub trials: Vec<VersionConfig>,
}

/// A version of a pipeline's filters, prepared.
pub struct VersionConfig {
    /// Its name.
    pub name: String,
    /// Whom it serves.
    pub share: Share,
    /// Its filters, as the profile and the overrides together say.
    pub entries: Vec<Entry>,
    /// The prepared filters.
    pub plan: Plan,
}

impl fmt::Debug for VersionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionConfig")
            .field("name", &self.name)
            .field("share", &self.share)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// A configuration with problems, all of them, and the texts to show them in.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.render(false))]
pub struct Invalid {
    /// What is wrong. Never empty.
    pub diagnostics: Diagnostics,
    /// The texts.
    pub sources: Sources,
}

impl Invalid {
    /// Every problem with its source line and a caret, and how many there are; in colour for a terminal.
    pub fn render(&self, colour: bool) -> String {
        self.diagnostics.render(&self.sources, colour)
    }
}

/// Reads the files and directories at `paths` and checks what they say together.
///
/// # Errors
/// All problems found.
pub fn load(paths: &[PathBuf], registry: &Registry) -> Result<Config, Box<Invalid>> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let filters = registry.names().filter_map(|name| registry.get(name));
    for schema in filters.map(|filter| filter.schema()) {
        diagnostics.learn_secrets(&schema.to_value());
    }
    for path in paths {
        files::add(&mut sources, path, &mut diagnostics);
    }
    let documents = read::read(&mut sources, &mut diagnostics);
    let config = assemble::assemble(&documents, registry, &sources, &mut diagnostics);
    match config {
        Some(config) if diagnostics.is_empty() => Ok(config),
        _ => Err(Box::new(Invalid {
            diagnostics,
            sources,
        })),
    }
}
