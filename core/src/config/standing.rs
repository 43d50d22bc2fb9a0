//! Documents stand alone: one that is wrong keeps its last good version, while all others advance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use linkgate_filter::Registry;

use super::source::{Origin, Source, Sources};
use super::{Config, Invalid, Loaded, Read, read, refused};

/// The last good version of each document, by its path.
pub type LastGood = BTreeMap<PathBuf, String>;

/// A configuration of all that is good.
pub struct Standing {
    /// What to run.
    pub config: Config,
    /// What became of each document.
    pub documents: Vec<Document>,
    /// The documents that this is made of: they are good.
    pub good: LastGood,
    /// What files that documents name hold, or held when all was good.
    pub kept: BTreeMap<PathBuf, Vec<u8>>,
    /// Those that say something of what businesses share.
    pub shared: BTreeSet<PathBuf>,
    /// What is to be watched for changes.
    pub watched: Watched,
}

/// What a configuration depends on, beside what was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Documents, and files that they name.
    pub files: BTreeSet<PathBuf>,
    /// Directories of documents.
    pub directories: BTreeSet<PathBuf>,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path, or `etcd:` and its name.
    pub path: PathBuf,
    /// What it means, as one number: of what runs. Empty if nothing of it runs.
    pub hash: String,
    /// Why what it says now does not run, as `validate` shows it.
    pub refused: Option<String>,
}

/// Tried one by one at the most, to find out which of several changes is to blame.
const MOST_TRIED: usize = 32;

/// Reads what `origin` names. Documents that are refused, and those in `refused` already, say what they last said in
/// `last_good`, or nothing.
///
/// # Errors
/// All problems, if they cannot be laid upon documents that may say something else. Those are documents that have a last
/// good version, and those that were found rather than named: what an operator names has to be right at the start.
pub fn load(
    origin: &Origin,
    registry: &Registry,
    last_good: &LastGood,
    refused: BTreeMap<PathBuf, String>,
) -> Result<Standing, Box<Invalid>> {
    let mut refused = refused;
    let mut first = None;
    let named: BTreeSet<&Path> = origin.paths.iter().map(PathBuf::as_path).collect();
    let may_fall_back = |path: &Path| last_good.contains_key(path) || !named.contains(path);
    loop {
        let loaded = attempt(origin, registry, last_good, refused.keys());
        let invalid = match loaded.config {
            Ok(config) => {
                let found = (config, loaded.read);
                return Ok(reinstate(found, origin, registry, last_good, refused));
            }
            Err(invalid) => invalid,
        };
        let files = invalid.diagnostics.files(&invalid.sources);
        let changed = changed(&invalid.sources, &files, last_good, &refused);
        let mut blamed: Vec<PathBuf> = files.keys().cloned().collect();
        blamed.retain(|path| changed.contains(path) && may_fall_back(path));
        if blamed.is_empty() {
            blamed = others_to_blame(origin, registry, last_good, &refused, &changed);
            blamed.retain(|path| may_fall_back(path));
        }
        let gone = removed(&invalid.sources, last_good, &refused);
        if blamed.is_empty() {
            blamed.extend(gone.iter().cloned());
        }
        if blamed.is_empty() {
            // What they name is not what it was, such as a secret in a file that is gone.
            let is_known = |path: &&PathBuf| last_good.contains_key(*path);
            let unchanged = files.keys().filter(is_known);
            blamed.extend(
                unchanged
                    .filter(|path| !refused.contains_key(*path))
                    .cloned(),
            );
        }
        for path in &blamed {
            let own = invalid.diagnostics.of(path, &invalid.sources);
            let shown = if own.is_empty() {
                &invalid.diagnostics
            } else {
                &own
            };
            let shown = shown.render(&invalid.sources, false);
            let is_there = !gone.contains(path);
            refused.insert(
                path.clone(),
                match is_there {
                    true => shown,
                    false => format!("it is gone, and others need it:\n{shown}"),
                },
            );
        }
        let first = first.get_or_insert(invalid);
        if blamed.is_empty() {
            return Err(first.clone());
        }
    }
}

/// As [`load`], for a start: a document that has become wrong without another text (a secret or a variable is gone) is left
/// out.
///
/// # Errors
/// As [`load`].
pub fn begin(
    origin: &Origin,
    registry: &Registry,
    last_good: &LastGood,
    refused: &BTreeMap<PathBuf, String>,
) -> Result<Standing, Box<Invalid>> {
    let mut last_good = last_good.clone();
    loop {
        let invalid = match load(origin, registry, &last_good, refused.clone()) {
            Ok(standing) => return Ok(standing),
            Err(invalid) => invalid,
        };
        let known = last_good.len();
        let wrong = invalid.diagnostics.files(&invalid.sources);
        last_good.retain(|path, _| !wrong.contains_key(path));
        if last_good.len() == known {
            return Err(invalid);
        }
    }
}

/// Some were refused only because of others that have been refused since: takes those in again.
fn reinstate(
    mut found: (Config, Read),
    origin: &Origin,
    registry: &Registry,
    last_good: &LastGood,
    mut refused: BTreeMap<PathBuf, String>,
) -> Standing {
    if (2..=MOST_TRIED).contains(&refused.len()) {
        for path in refused.clone().keys() {
            let others = refused.keys().filter(|other| *other != path);
            let Loaded { config, read } = attempt(origin, registry, last_good, others);
            if let Ok(config) = config {
                found = (config, read);
                refused.remove(path);
            }
        }
    }
    let (config, read) = found;
    let directories = read.sources.directories();
    let config = Config {
        refused: refused::businesses(origin, directories, refused.keys()),
        ..config
    };
    standing(config, &read, &refused)
}

fn attempt<'a>(
    origin: &Origin,
    registry: &Registry,
    last_good: &LastGood,
    refused: impl Iterator<Item = &'a PathBuf>,
) -> Loaded {
    let good = |path: &PathBuf| (path.clone(), last_good.get(path).cloned());
    let origin = Origin {
        instead: refused.map(good).collect(),
        ..origin.clone()
    };
    read(&origin, registry)
}

/// Documents that say something else than they last did, and are not refused yet; `files` are those with problems.
fn changed(
    sources: &Sources,
    files: &BTreeMap<PathBuf, bool>,
    last_good: &LastGood,
    refused: &BTreeMap<PathBuf, String>,
) -> BTreeSet<PathBuf> {
    let is_new = |source: &&Source| last_good.get(&source.path) != Some(&source.text);
    let texts = sources.iter().filter(is_new).map(|source| &source.path);
    // What cannot be read has no text.
    let unread = files.iter().filter(|(_, is_read)| !**is_read);
    let unread = unread.map(|(path, _)| path);
    let unread = unread.filter(|path| !sources.directories().contains(*path));
    let mut changed: BTreeSet<PathBuf> = texts.chain(unread).cloned().collect();
    changed.retain(|path| !refused.contains_key(path));
    changed
}

/// Documents that were good, and are there no more.
fn removed(
    sources: &Sources,
    last_good: &LastGood,
    refused: &BTreeMap<PathBuf, String>,
) -> BTreeSet<PathBuf> {
    let found: BTreeSet<_> = sources.iter().map(|source| &source.path).collect();
    let gone = |path: &&PathBuf| !found.contains(path) && !refused.contains_key(*path);
    last_good.keys().filter(gone).cloned().collect()
}

/// The problems are in documents that have not changed: finds the change that they come from, or blames all.
fn others_to_blame(
    origin: &Origin,
    registry: &Registry,
    last_good: &LastGood,
    refused: &BTreeMap<PathBuf, String>,
    changed: &BTreeSet<PathBuf>,
) -> Vec<PathBuf> {
    let problems = |without: Option<&PathBuf>| {
        let out = refused.keys().chain(without);
        match attempt(origin, registry, last_good, out).config {
            Ok(_) => 0,
            Err(invalid) => invalid.diagnostics.len(),
        }
    };
    if changed.len() > 1 && changed.len() <= MOST_TRIED {
        let all = problems(None);
        if let Some(one) = changed.iter().find(|path| problems(Some(path)) < all) {
            return vec![one.clone()];
        }
    }
    changed.iter().cloned().collect()
}

fn standing(config: Config, read: &Read, refused: &BTreeMap<PathBuf, String>) -> Standing {
    let texts = || read.sources.iter();
    let document = |source: &Source| Document {
        path: source.path.clone(),
        hash: read.hashes.get(&source.path).cloned().unwrap_or_default(),
        refused: refused.get(&source.path).cloned(),
    };
    let mut documents: Vec<Document> = texts().map(document).collect();
    let left_out = refused
        .iter()
        .filter(|(path, _)| texts().all(|source| source.path != **path));
    documents.extend(left_out.map(|(path, problems)| Document {
        path: path.clone(),
        hash: String::new(),
        refused: Some(problems.clone()),
    }));
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    let mut watched = Watched {
        files: read.sources.named(),
        directories: read.sources.directories().clone(),
    };
    watched
        .files
        .extend(documents.iter().map(|document| document.path.clone()));
    Standing {
        config,
        documents,
        good: texts()
            .map(|source| (source.path.clone(), source.text.clone()))
            .collect(),
        shared: read.shared.clone(),
        kept: read.sources.held(),
        watched,
    }
}

#[cfg(test)]
mod tests;
