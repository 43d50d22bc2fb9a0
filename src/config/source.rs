//! The texts of a configuration, and places in them. How they are read, and what they mean, is not known here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

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

/// The text of a file. It may hold secrets that were written in place.
#[derive(Clone)]
pub struct Source {
    /// As given on the command line, or found below what was given.
    pub path: PathBuf,
    /// Without a byte order mark.
    pub text: String,
}

/// All files of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    seen: BTreeSet<PathBuf>,
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
    /// The file that `id` names.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0]
    }

    /// All files, in the order they were read.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len()).map(FileId)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the file at this real path is not among them yet. Asked once: from then on it is.
    pub(super) fn is_new(&mut self, real: PathBuf) -> bool {
        self.seen.insert(real)
    }

    /// Adds a text.
    pub(super) fn push(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        self.files.push(Source {
            path: path.into(),
            text: text.into(),
        });
        FileId(self.files.len() - 1)
    }
}
