//! From changes of documents to changes of the node.
//!
//! Whatever has changed, the configuration is read anew as a whole; each document that is wrong keeps its last good
//! version, and the node changes to what that makes, or, should the system refuse it, stays as it is. What may not enter:
//! what a configuration means, and how a node changes.

mod cache;
mod own;
mod plan;
mod questions;
#[cfg(feature = "etcd")]
mod remote;
#[cfg(not(feature = "etcd"))]
#[path = "reload/no_remote.rs"]
mod remote;
mod report;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::Registry;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use self::cache::Cache;
use self::own::Own;
pub use self::questions::Proposal;
use self::questions::Question;
use self::remote::Remote;
use self::report::{announce, refuse, report};
use self::watch::{Mark, Watcher};
use crate::config::etcd::{EtcdSource, UrlError};
use crate::config::source::Origin;
use crate::config::standing::{self, Document, LastGood, Standing, Watched};
use crate::config::{self, Config, Invalid};
use crate::node::{Node, Outside, StartError};
use crate::program::Program;

/// What etcd says, so far as it can be read.
#[derive(Clone, Default, PartialEq)]
struct Fetched {
    /// Documents by name.
    texts: BTreeMap<String, String>,
    /// Those that have no text, and why.
    unreadable: BTreeMap<PathBuf, String>,
}

/// Reads configurations for a node, and again when they change.
pub struct Reloader {
    origin: Origin,
    registry: Registry,
    cache: Option<Cache>,
    remote: Option<Remote>,
    /// Documents that have no text.
    unreadable: BTreeMap<PathBuf, String>,
    /// Why the place that documents come from cannot be reached.
    unreachable: Option<String>,
    good: LastGood,
    watched: Watched,
    /// What was read last, right or wrong: read again, it says the same.
    mark: Option<Mark>,
    /// The parts of the first configuration that only a restart changes.
    own: Own,
    first: Option<Read>,
    questions: Option<mpsc::Receiver<Question>>,
    /// The question that is being looked into.
    planning: Option<JoinHandle<()>>,
    /// Somebody wants all of it read again.
    again: Arc<Notify>,
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What is named is wrong, or nothing is right.
    #[error(transparent)]
    Invalid(#[from] Box<Invalid>),
    /// A path that is meant to be a URL of etcd is none.
    #[error("`{path}` names no etcd: {why}")]
    Url {
        /// Without user and password.
        path: String,
        /// What is wrong with it.
        why: UrlError,
    },
    /// Documents are in two etcds.
    #[error("documents can be kept in one etcd only; name one, here or under `config:`")]
    TwoEtcds,
    /// etcd is away, and no copy is there.
    #[error(
        "{0}\nand there is no copy of its documents to start with: `config: {{ cache: ... }}` says where one is kept"
    )]
    Unreachable(String),
}

async fn next(questions: &mut Option<mpsc::Receiver<Question>>) -> Question {
    let next = match questions {
        Some(questions) => questions.recv().await,
        None => None,
    };
    match next {
        Some(question) => question,
        None => std::future::pending().await,
    }
}

/// Ends when what is being looked into is answered.
async fn ended(planning: &mut Option<JoinHandle<()>>) {
    match planning {
        // Who asked sees that it has failed.
        Some(work) => drop(work.await),
        None => std::future::pending().await,
    }
    *planning = None;
}

/// Does what takes long beside the task that hears of changes, and of the end.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work)
        .await
        .map_err(JoinError::try_into_panic)
    {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

async fn news(remote: &mut Option<Remote>) -> (Option<Fetched>, Option<String>) {
    match remote {
        Some(remote) => remote.changed().await,
        None => std::future::pending().await,
    }
}

struct Read {
    config: Config,
    documents: Vec<Document>,
}

impl Reloader {
    /// Files are read again after so long without a sign of a change, for file systems that give none.
    const AUDIT: Duration = Duration::from_secs(30);

    /// Reads the configuration that the node starts with: files, directories, and URLs of etcd.
    ///
    /// # Errors
    /// What is named is wrong, nothing is right, or etcd is away and no copy is there.
    pub async fn begin(paths: &[PathBuf], registry: &Registry) -> Result<Self, BeginError> {
        let is_url = |path: &&PathBuf| path.to_str().is_some_and(EtcdSource::is_url);
        let (urls, paths): (Vec<_>, Vec<_>) = paths.iter().partition(is_url);
        let paths: Vec<PathBuf> = paths.into_iter().cloned().collect();
        let mut origin = Origin::paths(&paths);
        let places = config::places(&origin);
        let cache = places.cache.clone().map(Cache::at);
        let good = cache.as_ref().map(Cache::read).unwrap_or_default();
        let mut sources = urls
            .into_iter()
            .map(|path| url(path))
            .collect::<Result<Vec<_>, _>>()?;
        sources.extend(places.etcd.clone());
        let source = sources.pop();
        if !sources.is_empty() {
            return Err(BeginError::TwoEtcds);
        }
        let remote = source.map(Remote::new);
        let (mut unreadable, mut unreachable) = (BTreeMap::new(), None);
        if let Some(remote) = &remote {
            let fetched = match remote.read().await {
                Ok(fetched) => fetched,
                Err(why) => {
                    let fetched = copied(&good).ok_or(BeginError::Unreachable(why.clone()))?;
                    tracing::error!("{why}; starting from the copy of its documents on disk");
                    unreachable = Some(why);
                    fetched
                }
            };
            unreadable = fetched.unreadable;
            origin.fetched = Some(fetched.texts);
        }
        let standing = standing::begin(&origin, registry, &good, &unreadable)?;
        let mut reloader = Self {
            origin,
            registry: registry.clone(),
            cache,
            remote,
            unreadable,
            unreachable,
            good: LastGood::new(),
            watched: Watched::default(),
            mark: None,
            own: Own::of(&standing.config, &places),
            first: None,
            questions: None,
            planning: None,
            again: Arc::default(),
        };
        reloader.first = Some(reloader.take(standing));
        Ok(reloader)
    }

    /// Starts the node.
    ///
    /// # Errors
    /// The system refuses something.
    pub async fn start(&mut self, program: Program) -> Result<Node, StartError> {
        let Some(first) = self.first.take() else {
            return Err(StartError::Twice);
        };
        let (routes, questions) = questions::desk();
        self.questions = Some(questions);
        let node = Node::start_in(first.config, routes, Outside::real(program))?;
        let unreachable = self.unreachable.clone();
        node.status()
            .update(|status| status.unreachable = unreachable);
        report(node.status(), &first.documents);
        self.keep();
        Ok(node)
    }

    /// Notified, it has all sources read again now.
    pub fn read_again(&self) -> Arc<Notify> {
        Arc::clone(&self.again)
    }

    /// Changes the node whenever the configuration changes. Never ends.
    pub async fn run(mut self, node: &Node) {
        let mut watcher = Watcher::start();
        if let Some(remote) = &mut self.remote {
            remote.follow(node);
        }
        let again = self.read_again();
        let mut is_asked = false;
        loop {
            watcher.watch(&self.watched);
            // What came before it was watched is not told.
            self.reload(node).await;
            if std::mem::take(&mut is_asked) {
                let status = node.status().get();
                let (generation, accepted) = (status.generation, status.accepted);
                tracing::info!(
                    generation,
                    accepted,
                    "the configuration has been read again"
                );
            }
            // A question takes the place of a sign of change, so it is looked for one after it.
            tokio::select! {
                () = watcher.changed(Self::AUDIT) => {}
                question = next(&mut self.questions), if self.planning.is_none() => {
                    self.planning = Some(self.plan(question, node));
                }
                () = ended(&mut self.planning) => {}
                (fetched, error) = news(&mut self.remote) => self.hear(fetched, error, node),
                () = again.notified() => {
                    self.fetch(node).await;
                    is_asked = true;
                }
            }
        }
    }

    /// Asks etcd, if there is one, and has all that was read count as old.
    async fn fetch(&mut self, node: &Node) {
        if let Some(remote) = &self.remote {
            match remote.read().await {
                Ok(fetched) => self.hear(Some(fetched), None, node),
                Err(why) => {
                    tracing::warn!("{why}; what was last read from there goes on");
                    self.hear(None, Some(why), node);
                }
            }
        }
        self.mark = None;
    }

    /// Notes what etcd says now, and whether it can be followed.
    fn hear(&mut self, fetched: Option<Fetched>, error: Option<String>, node: &Node) {
        node.status().update(|status| status.unreachable = error);
        let Some(fetched) = fetched else {
            return;
        };
        let texts = Some(fetched.texts);
        if (&self.origin.fetched, &self.unreadable) != (&texts, &fetched.unreadable) {
            self.origin.fetched = texts;
            self.unreadable = fetched.unreadable;
            self.mark = None;
        }
    }

    /// Reads again, if anything is different.
    async fn reload(&mut self, node: &Node) {
        let watched = self.watched.clone();
        let mark = aside(move || Mark::of(&watched)).await;
        if self.mark.as_ref() == Some(&mark) {
            return;
        }
        self.mark = Some(mark);
        match self.load(self.unreadable.clone()).await {
            Ok(standing) => self.change(node, standing).await,
            Err(invalid) => {
                tracing::error!("the configuration is refused, and what ran goes on:\n{invalid}");
                refuse(node.status(), invalid.render(false));
            }
        }
    }

    async fn load(&self, refused: BTreeMap<PathBuf, String>) -> Result<Standing, Box<Invalid>> {
        let (origin, registry) = (self.origin.clone(), self.registry.clone());
        let good = self.good.clone();
        aside(move || standing::load(&origin, &registry, &good, refused)).await
    }

    async fn change(&mut self, node: &Node, standing: Standing) {
        let shared = standing.shared.clone();
        let Err(error) = self.take_over(node, standing) else {
            return;
        };
        // The system may say otherwise at the next look, though no text has changed.
        self.mark = None;
        // Businesses advance without what the system refuses.
        let why = error.to_string();
        let blamed = shared.into_iter().map(|path| (path, why.clone()));
        let refused = blamed.chain(self.unreadable.clone()).collect();
        let again = self.load(refused).await;
        if !again.is_ok_and(|standing| self.take_over(node, standing).is_ok()) {
            tracing::error!("the configuration is refused, and what ran goes on: {why}");
            refuse(node.status(), why);
        }
    }

    /// Changes the node to this, and remembers it as good unless the system refuses it.
    fn take_over(&mut self, node: &Node, standing: Standing) -> Result<(), StartError> {
        let mut restart = self.own.changed(&standing.config, &self.origin);
        let before = (self.good.clone(), self.origin.kept.clone());
        let read = self.take(standing);
        match node.change(read.config) {
            Ok(changed) => {
                restart.extend(node.needs_restart());
                announce(node.status(), &read.documents, changed, restart);
                self.keep();
                Ok(())
            }
            Err(error) => {
                (self.good, self.origin.kept) = before;
                Err(error)
            }
        }
    }

    /// From now on this is what was last good.
    fn take(&mut self, standing: Standing) -> Read {
        for warning in standing.config.warnings.lines() {
            tracing::warn!("{warning}");
        }
        self.good = standing.good;
        self.origin.kept = standing.kept;
        self.watched = standing.watched;
        Read {
            config: standing.config,
            documents: standing.documents,
        }
    }

    fn keep(&self) {
        if let Some(cache) = &self.cache
            && let Err(error) = cache.write(&self.good)
        {
            tracing::warn!(%error, "cannot keep a copy of the configuration for the next start");
        }
    }
}

/// The etcd that a URL names.
fn url(path: &Path) -> Result<EtcdSource, BeginError> {
    let text = path.to_string_lossy();
    EtcdSource::parse_url(&text).map_err(|why| BeginError::Url {
        path: text.rsplit('@').next().unwrap_or_default().to_owned(),
        why,
    })
}

/// The documents of etcd among those that were last good, if there are any.
fn copied(good: &LastGood) -> Option<Fetched> {
    let name = |path: &PathBuf| path.to_str()?.strip_prefix("etcd:").map(str::to_owned);
    let texts: BTreeMap<_, _> = good
        .iter()
        .filter_map(|(path, text)| Some((name(path)?, text.clone())))
        .collect();
    (!texts.is_empty()).then(|| Fetched {
        texts,
        ..Fetched::default()
    })
}
