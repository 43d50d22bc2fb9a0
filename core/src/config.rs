//! From the text of configuration files to a checked configuration with prepared pipelines.
//!
//! Text, then trees that keep places ([`tree`]), references filled in, then types ([`document`]), then checks across
//! documents, then prepared filters. All problems are found in one go and shown at their places ([`diagnostics`]).
//! Nothing is opened or started here: `linkgate validate` and `linkgate run` do the same up to this point.

mod assemble;
pub mod compare;
mod describe;
pub mod diagnostics;
pub mod document;
pub mod documents;
pub mod etcd;
mod files;
mod fill;
mod grants;
mod meaning;
mod parse;
mod read;
mod refused;
pub mod schema;
mod secrets;
pub mod source;
mod stand_in;
pub mod standing;
pub mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use linkgate_filter::Registry;
use linkgate_filter::backend::Backends;
use linkgate_filter::runner::{Entry, Plan};

pub use diagnostics::Diagnostics;
use document::{Admin, Limits, Node};
use etcd::EtcdSource;
use source::{Known, Origin, Sources};
use tree::{References, Tree};

use crate::cluster::config::ClusterConfig;
use crate::edges::config::{BrokerConfig, StoreConfig};
use crate::listener::config::ListenerConfig;
use crate::pipeline::{Refused, Share};
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
    /// How this node and others work as one.
    pub cluster: Option<ClusterConfig>,
    /// Businesses that documents speak of which are refused: nothing serves them, unless a former version does.
    pub refused: Refused,
    /// References that are not filled in, by part: what stands in for them says nothing.
    pub references: BTreeMap<String, References>,
    /// How many documents it was read from.
    pub documents: usize,
    /// What is not wrong, and promises less than a reader may think.
    pub warnings: Warnings,
}

/// Warnings, and the texts to show them in.
#[derive(Debug, Default)]
pub struct Warnings {
    diagnostics: Diagnostics,
    sources: Sources,
}

impl Warnings {
    /// Every warning with its source line and a caret; in colour for a terminal.
    pub fn render(&self, colour: bool) -> String {
        self.diagnostics.render_warnings(&self.sources, colour)
    }

    /// Every warning as one line, for a log.
    pub fn lines(&self) -> Vec<String> {
        self.diagnostics.warning_lines()
    }
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
    /// References beside those of filters that are not filled in.
    pub references: References,
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
#[derive(Clone, Debug, thiserror::Error)]
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
    read(&Origin::paths(paths), registry).config
}

/// Reads all that `origin` names and checks what it says together.
///
/// # Errors
/// All problems found.
pub fn load_from(origin: &Origin, registry: &Registry) -> Result<Config, Box<Invalid>> {
    read(origin, registry).config
}

/// Both configurations as `plan` compares them: nothing is read for whoever proposes `then`, and no reference is filled in,
/// so what comes of it says nothing of what references stand for. `directories` are those that the node looks through.
///
/// # Errors
/// All problems of `then`. What runs is right, or was.
pub(crate) fn load_both(
    now: Origin,
    then: Origin,
    registry: &Registry,
    directories: &BTreeSet<PathBuf>,
) -> Result<(Config, Config), Box<Invalid>> {
    let known = Arc::new(Known {
        directories: directories.clone(),
    });
    let knowing = |origin: Origin| Origin {
        known: Some(Arc::clone(&known)),
        ..origin
    };
    let (now, ..) = outline(&knowing(now), registry);
    Ok((now, read(&knowing(then), registry).config?))
}

/// What reading has come to.
struct Loaded {
    config: Result<Config, Box<Invalid>>,
    read: Read,
}

/// What was read, right or wrong.
struct Read {
    sources: Sources,
    /// What each text means, as one number.
    hashes: BTreeMap<PathBuf, String>,
    /// Those that say something of what businesses share.
    shared: BTreeSet<PathBuf>,
}

/// Reads all that `origin` names and checks what it says together.
fn read(origin: &Origin, registry: &Registry) -> Loaded {
    let (config, diagnostics, read) = outline(origin, registry);
    let sources = read.sources.clone();
    let config = match diagnostics.is_empty() {
        true => Ok(Config {
            warnings: Warnings {
                diagnostics,
                sources,
            },
            ..config
        }),
        false => Err(Box::new(Invalid {
            diagnostics,
            sources,
        })),
    };
    Loaded { config, read }
}

/// What is right of all that `origin` names, and what is wrong.
fn outline(origin: &Origin, registry: &Registry) -> (Config, Diagnostics, Read) {
    let mut sources = Sources::from_origin(origin);
    let mut diagnostics = Diagnostics::default();
    let (documents, hashes) = documents(&mut sources, origin, &mut diagnostics);
    let config = assemble::assemble(&documents, registry, &sources, &mut diagnostics);
    let shared = documents.iter().filter(|tree| is_shared(tree));
    let shared = shared.map(|tree| sources.get(tree.span.file).path.clone());
    let read = Read {
        shared: shared.collect(),
        hashes,
        sources,
    };
    (config, diagnostics, read)
}

/// All documents that `origin` names, and what each text means.
fn documents(
    sources: &mut Sources,
    origin: &Origin,
    diagnostics: &mut Diagnostics,
) -> (Vec<Tree>, BTreeMap<PathBuf, String>) {
    for path in &origin.paths {
        files::add(sources, path, diagnostics);
    }
    read::read(sources, origin.fetched.as_ref(), diagnostics)
}

/// What documents mean together, as one number.
pub(crate) fn hash_of(documents: &[standing::Document]) -> String {
    let names = documents.iter().filter_map(|own| own.path.file_name());
    let hashes = documents.iter().map(|own| own.hash.as_str());
    let mut lines: Vec<_> = names.zip(hashes).collect();
    lines.sort_unstable();
    meaning::of_all(&lines)
}

/// Where documents are beside the files that are named, as these say.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Places {
    /// An etcd with more documents.
    pub(crate) etcd: Option<EtcdSource>,
    /// Where the last good version of each document is kept.
    pub(crate) cache: Option<PathBuf>,
}

/// What the files that `origin` names say of where documents are. What is wrong with them is told by those who read them.
pub(crate) fn places(origin: &Origin) -> Places {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    for path in &origin.paths {
        files::add(&mut sources, path, &mut diagnostics);
    }
    let (documents, _) = read::read(&mut sources, None, &mut diagnostics);
    let mut places = Places::default();
    for tree in &documents {
        let config = tree
            .get("config")
            .and_then(read::part::<document::ConfigSource>);
        let Some(config) = config else {
            continue;
        };
        let folder = &sources.get(tree.span.file).folder;
        places.cache = config
            .cache
            .map(|cache| folder.join(cache))
            .or(places.cache);
        places.etcd = config.etcd.map(|etcd| etcd.below(folder)).or(places.etcd);
    }
    places
}

fn is_shared(document: &Tree) -> bool {
    let mut keys = document.entries().map(|(key, _)| key);
    keys.any(|key| !matches!(key, "schema" | "node" | "backends" | "pipelines"))
}
