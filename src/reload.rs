//! From changes of documents to changes of the node.
//!
//! Whatever has changed, the configuration is read anew as a whole; each document that is wrong keeps its last good
//! version, and the node changes to what that makes, or, should the system refuse it, stays as it is. What may not enter:
//! what a configuration means, and how a node changes.

mod cache;
mod questions;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use linkgate_filter::{Clock, Registry};
use tokio::sync::mpsc;

use self::cache::Cache;
pub use self::questions::Proposal;
use self::questions::Question;
use self::watch::{Mark, Watcher};
use crate::clock::SystemClock;
use crate::config::compare::{Difference, compare};
use crate::config::source::Origin;
use crate::config::standing::{self, Document, LastGood, Standing, Watched};
use crate::config::{self, Config, Invalid, hash_of};
use crate::node::{Changed, DocumentStatus, Node, Shared, StartError};

/// Reads configurations for a node, and again when they change.
pub struct Reloader<'a> {
    origin: Origin,
    registry: &'a Registry,
    cache: Option<Cache>,
    good: LastGood,
    watched: Watched,
    /// What was read last, right or wrong: read again, it says the same.
    mark: Option<Mark>,
    /// The parts of the first configuration that only a restart changes.
    own: Own,
    first: Option<Read>,
    questions: Option<mpsc::Receiver<Question>>,
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

struct Read {
    config: Config,
    documents: Vec<Document>,
}

/// What only a restart changes.
#[derive(Default, PartialEq)]
struct Own(Vec<(&'static str, String)>);

impl Own {
    fn of(config: &Config) -> Self {
        let Config { node, admin, .. } = config;
        Self(vec![
            ("node", format!("{node:?}")),
            ("admin", format!("{admin:?}")),
        ])
    }

    fn changed(&self, other: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&other.0);
        let changed = pairs.filter(|(one, other)| one != other);
        changed.map(|(one, _)| one.0.to_owned()).collect()
    }
}

impl<'a> Reloader<'a> {
    /// Files are read again after so long without a sign of a change, for file systems that give none.
    const AUDIT: Duration = Duration::from_secs(30);

    /// Reads the configuration that the node starts with.
    ///
    /// # Errors
    /// What is named is wrong, or nothing is right.
    pub fn begin(paths: &[PathBuf], registry: &'a Registry) -> Result<Self, Box<Invalid>> {
        let origin = Origin::paths(paths);
        let cache = crate::config::cache(&origin)?.map(Cache::at);
        let good = cache.as_ref().map(Cache::read).unwrap_or_default();
        let standing = standing::load(&origin, registry, &good, BTreeMap::new())?;
        let mut reloader = Self {
            origin,
            registry,
            cache,
            good: LastGood::new(),
            watched: Watched::default(),
            mark: None,
            own: Own::of(&standing.config),
            first: None,
            questions: None,
        };
        reloader.first = Some(reloader.take(standing));
        Ok(reloader)
    }

    /// Starts the node.
    ///
    /// # Errors
    /// The system refuses something.
    pub async fn start(&mut self) -> Result<Node, StartError> {
        let Some(first) = self.first.take() else {
            return Err(StartError::Twice);
        };
        let (routes, questions) = questions::desk();
        self.questions = Some(questions);
        let node = Node::start_with(first.config, routes).await?;
        report(node.status(), &first.documents);
        self.keep();
        Ok(node)
    }

    /// Changes the node whenever the configuration changes. Never ends.
    pub async fn run(mut self, node: &Node) {
        let mut watcher = Watcher::new();
        loop {
            watcher.watch(&self.watched);
            // What came before it was watched is not told.
            self.reload(node);
            // A question takes the place of a sign of change, so it is looked for one after it.
            tokio::select! {
                () = watcher.changed(Self::AUDIT) => {}
                question = next(&mut self.questions) => self.answer(question, node),
            }
        }
    }

    /// Says what a proposal would change.
    fn answer(&self, Question { proposal, answer }: Question, node: &Node) {
        let _ = answer.send(
            self.plan(proposal, node)
                .map_err(|invalid| invalid.render(false)),
        );
    }

    fn plan(&self, proposal: Proposal, node: &Node) -> Result<Vec<Difference>, Box<Invalid>> {
        let as_it_runs = |(path, text): (&PathBuf, &String)| (path.clone(), Some(text.clone()));
        let now = Origin {
            instead: self.good.iter().map(as_it_runs).collect(),
            ..self.origin.clone()
        };
        let mut proposed = proposal.documents;
        let mut instead = BTreeMap::new();
        for path in self.good.keys() {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let text = name.and_then(|name| proposed.remove(&name));
            if text.is_some() || !self.origin.paths.contains(path) {
                instead.insert(path.clone(), text);
            }
        }
        let then = Origin {
            fetched: Some(proposed),
            instead,
            ..self.origin.clone()
        };
        let now = config::load_from(&now, self.registry)?;
        let then = config::load_from(&then, self.registry)?;
        let links = node.links();
        let mut differences = compare(&now, &then);
        for part in &mut differences {
            let of = |biz_id: &String| links.get(biz_id.as_str()).copied().unwrap_or(0);
            part.links = part.biz_id.as_ref().map(of);
        }
        Ok(differences)
    }

    /// Reads again, if anything is different.
    fn reload(&mut self, node: &Node) {
        let mark = Mark::of(&self.watched);
        if self.mark.as_ref() == Some(&mark) {
            return;
        }
        self.mark = Some(mark);
        let status = node.status();
        match standing::load(&self.origin, self.registry, &self.good, BTreeMap::new()) {
            Ok(standing) => self.change(node, standing),
            Err(invalid) => {
                tracing::error!("the configuration is refused, and what ran goes on:\n{invalid}");
                refuse(status, invalid.render(false));
            }
        }
    }

    fn change(&mut self, node: &Node, standing: Standing) {
        let restart = self.own.changed(&Own::of(&standing.config));
        let before = self.good.clone();
        let shared = standing.shared.clone();
        let read = self.take(standing);
        match node.change(read.config) {
            Ok(changed) => {
                announce(node.status(), &read.documents, changed, restart);
                self.keep();
            }
            Err(error) => {
                tracing::error!("the configuration is refused, and what ran goes on: {error}");
                refuse(node.status(), error.to_string());
                self.good = before;
                // Businesses advance without what the system refuses.
                let blamed = shared.into_iter().map(|path| (path, error.to_string()));
                self.change_without(node, blamed.collect());
            }
        }
    }

    /// Changes without documents whose parts the system refuses.
    fn change_without(&mut self, node: &Node, refused: BTreeMap<PathBuf, String>) {
        let again = standing::load(&self.origin, self.registry, &self.good, refused);
        let Ok(standing) = again else {
            return;
        };
        let before = self.good.clone();
        let read = self.take(standing);
        match node.change(read.config) {
            Ok(changed) => announce(node.status(), &read.documents, changed, Vec::new()),
            Err(_) => self.good = before,
        }
    }

    /// From now on this is what was last good.
    fn take(&mut self, standing: Standing) -> Read {
        for warning in standing.config.warnings.lines() {
            tracing::warn!("{warning}");
        }
        self.good = standing.good;
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

fn now() -> i64 {
    crate::node::unix_ms(SystemClock.wall())
}

/// Says of each document what became of it, to the log only what is new.
fn report(status: &Shared, documents: &[Document]) {
    let shown = |document: &Document| DocumentStatus {
        name: document.path.display().to_string(),
        hash: document.hash.clone(),
        refused: document.refused.clone(),
    };
    let documents_now: Vec<_> = documents.iter().map(shown).collect();
    let before = status.get();
    let is_known = |document: &&DocumentStatus| before.documents.contains(document);
    let refused = documents_now.iter().filter(|own| own.refused.is_some());
    let new: Vec<_> = refused.filter(|own| !is_known(own)).cloned().collect();
    for document in &new {
        let (name, problems) = (&document.name, document.refused.as_deref());
        let goes_on = match document.hash.is_empty() {
            true => "it is left out",
            false => "its last good version goes on",
        };
        let problems = problems.unwrap_or_default().trim_end();
        tracing::error!("{name} is refused, and {goes_on}:\n{problems}");
    }
    status.update(|status| {
        status.accepted = documents_now.iter().all(|own| own.refused.is_none());
        status.rejected += u64::from(!new.is_empty());
        status.documents = documents_now;
        status.hash = hash_of(documents);
        status.read_at = now();
        status.refused = None;
    });
}

fn announce(status: &Shared, documents: &[Document], changed: Changed, restart: Vec<String>) {
    let before = status.get();
    report(status, documents);
    for part in restart
        .iter()
        .filter(|part| !before.needs_restart.contains(part))
    {
        tracing::warn!("`{part}:` has changed: that takes effect with a restart");
    }
    let hash = status.get().hash;
    let is_change = changed.is_change || hash != before.hash;
    status.update(|status| {
        status.generation += u64::from(is_change);
        if is_change {
            status.since = now();
        }
        status.needs_restart = restart;
    });
    if is_change {
        let Changed { links, leaving, .. } = changed;
        let (generation, hash) = (before.generation + 1, hash.get(..12).unwrap_or_default());
        tracing::info!(
            generation,
            hash,
            links,
            leaving,
            "the configuration has changed"
        );
    }
}

fn refuse(status: &Shared, why: String) {
    status.update(|status| {
        status.accepted = false;
        status.rejected += 1;
        status.read_at = now();
        status.refused = Some(why);
    });
}
