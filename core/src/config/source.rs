//! The texts of a configuration, and places in them. How they are read, and what they mean, is not known here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::grants::Grants;

/// Names a file among [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

/// The text of a document. It may hold secrets that were written in place.
#[derive(Clone)]
pub struct Source {
    /// A file as given on the command line, or found below what was given; `etcd:NAME` for a key.
    pub path: PathBuf,
    /// Where relative paths in it begin.
    pub folder: PathBuf,
    /// Without a byte order mark.
    pub text: String,
}

/// What a configuration is read from.
#[derive(Clone, Default)]
pub struct Origin {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Documents by name that were fetched from where `config:` says; `None`: they were not fetched.
    pub fetched: Option<BTreeMap<String, String>>,
    /// Texts in place of what documents say now; `None`: the document is left out.
    pub instead: BTreeMap<PathBuf, Option<String>>,
    /// What files that documents name held when all was good: for documents that `instead` puts back.
    pub kept: BTreeMap<PathBuf, Vec<u8>>,
    /// What `${VAR}` stands for; `None`: the process's environment says so.
    pub variables: Option<BTreeMap<String, String>>,
    /// What files that documents name hold, in place of what they hold.
    pub given: BTreeMap<PathBuf, Vec<u8>>,
    /// The documents are meant for etcd: what cannot stand there is a problem.
    pub for_etcd: bool,
    /// Documents come from somebody who may not have the node's files and variables read.
    pub known: Option<Arc<Known>>,
}

/// What of a node may be used for documents of others.
#[derive(Default)]
pub struct Known {
    /// Directories that are looked through.
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Source {
    /// Whether it comes from etcd.
    pub(super) fn is_fetched(&self) -> bool {
        let path = self.path.to_str();
        path.is_some_and(|path| path.starts_with(Origin::FETCHED))
    }
}

impl Origin {
    /// What the paths of fetched documents begin with.
    const FETCHED: &str = "etcd:";

    /// These files and directories.
    pub fn paths(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            ..Self::default()
        }
    }

    /// The path by which a fetched document is known.
    pub fn fetched_path(name: &str) -> PathBuf {
        PathBuf::from(format!("{}{name}", Self::FETCHED))
    }
}

/// All texts of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    seen: BTreeSet<PathBuf>,
    instead: BTreeMap<PathBuf, Option<String>>,
    directories: BTreeSet<PathBuf>,
    /// Files that documents name, and what they hold. Noted where documents are only looked at.
    named: RefCell<BTreeMap<PathBuf, Option<Vec<u8>>>>,
    kept: BTreeMap<PathBuf, Vec<u8>>,
    given: BTreeMap<PathBuf, Vec<u8>>,
    variables: Option<BTreeMap<String, String>>,
    for_etcd: bool,
    known: Option<Arc<Known>>,
    grants: Grants,
}

impl fmt::Debug for Sources {
    /// The files' names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.files.iter().map(|source| &source.path))
            .finish()
    }
}

impl Sources {
    /// No texts yet, but these in place of what will be read.
    pub(super) fn from_origin(origin: &Origin) -> Self {
        Self {
            instead: origin.instead.clone(),
            kept: origin.kept.clone(),
            given: origin.given.clone(),
            variables: origin.variables.clone(),
            for_etcd: origin.for_etcd,
            known: origin.known.clone(),
            ..Self::default()
        }
    }

    /// The file that `id` names.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0]
    }

    /// All files, in the order they were read.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len()).map(FileId)
    }

    /// Whether the text comes from etcd, or is meant for it.
    pub(super) fn is_from_etcd(&self, id: FileId) -> bool {
        self.for_etcd || self.get(id).is_fetched()
    }

    /// What alone may be used of the node, if the documents are others'.
    pub(super) fn known(&self) -> Option<Arc<Known>> {
        self.known.clone()
    }

    /// What documents from etcd may name, as those of the node say that have been read.
    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(super) fn grant(&mut self, files_root: Option<PathBuf>, variables: Vec<String>) {
        if files_root.is_some() {
            self.grants.files_root = files_root;
        }
        self.grants.variables.extend(variables);
    }

    /// All texts, in the order they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Directories that were looked through.
    pub fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// Files that documents name, such as secrets and certificates.
    pub fn named(&self) -> BTreeSet<PathBuf> {
        self.named.borrow().keys().cloned().collect()
    }

    pub(super) fn note_directory(&mut self, path: &Path) {
        self.directories.insert(path.to_owned());
    }

    /// Notes that a document names a file, and what that holds; `None` if it cannot be read.
    pub(super) fn note_named(&self, path: &Path, held: Option<&[u8]>) {
        let held = held.map(<[u8]>::to_owned);
        self.named.borrow_mut().insert(path.to_owned(), held);
    }

    /// What the named files hold that can be read.
    pub(super) fn held(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let named = self.named.borrow();
        let held = named
            .iter()
            .filter_map(|(path, held)| Some((path.clone(), held.clone()?)));
        held.collect()
    }

    /// All variables.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        self.variables.clone().unwrap_or_else(|| {
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect()
        })
    }

    /// What stands in place of a file that a document names.
    pub(super) fn given(&self, path: &Path) -> Option<&[u8]> {
        self.given.get(path).map(Vec::as_slice)
    }

    /// What a file held when all was good, if the document at `document` is one that was put back.
    pub(super) fn kept(&self, document: &Path, path: &Path) -> Option<&[u8]> {
        self.instead.get(document)?;
        self.kept.get(path).map(Vec::as_slice)
    }

    /// What stands in place of the document at `path`, if anything does.
    pub(super) fn instead_of(&self, path: &Path) -> Option<&Option<String>> {
        self.instead.get(path)
    }

    /// All texts that stand in place of documents.
    pub(super) fn all_instead(&self) -> &BTreeMap<PathBuf, Option<String>> {
        &self.instead
    }

    /// Whether the file at this real path is not among them yet. Asked once: from then on it is.
    pub(super) fn is_new(&mut self, real: PathBuf) -> bool {
        self.seen.insert(real)
    }

    /// Adds the text of a file.
    pub(super) fn push(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let path = path.into();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.push_from(path, folder, text.into())
    }

    /// Adds a text whose relative paths begin at `folder`.
    pub(super) fn push_from(&mut self, path: PathBuf, folder: PathBuf, text: String) -> FileId {
        self.files.push(Source { path, folder, text });
        FileId(self.files.len() - 1)
    }
}
