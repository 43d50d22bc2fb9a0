//! Where configuration text comes from: files, and directories of them.
//!
//! Everything here ends in text that is safe to parse: of bounded size, and UTF-8. What it means is not known here.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostic, Diagnostics};

/// The largest file that is read, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

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

    /// Reads the file at `path`, or the YAML files of the directory at `path`. A file is read once, however often it is named.
    pub(super) fn add(&mut self, path: &Path, diagnostics: &mut Diagnostics) {
        match fs::metadata(path) {
            Err(error) => diagnostics.push_unread(cannot_read(path, &error)),
            Ok(metadata) if metadata.is_dir() => self.add_directory(path, diagnostics),
            Ok(_) => self.add_file(path, diagnostics),
        }
    }

    fn add_directory(&mut self, directory: &Path, diagnostics: &mut Diagnostics) {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut files: Vec<PathBuf> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return diagnostics.push_unread(cannot_read(directory, &error)),
        };
        files.retain(|file| is_document(file));
        files.sort();
        if files.is_empty() {
            let problem = Diagnostic::file(
                directory,
                "there is no configuration file in this directory",
            );
            diagnostics.push(problem.hint(
                "files named `*.yaml` or `*.yml` are read; `*.test.yaml` and hidden ones are not",
            ));
        }
        for file in files {
            self.add_file(&file, diagnostics);
        }
    }

    fn add_file(&mut self, path: &Path, diagnostics: &mut Diagnostics) {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            return;
        }
        match read_text(path) {
            Ok(text) => self.files.push(Source {
                path: path.to_owned(),
                text,
            }),
            Err(problem) => diagnostics.push_unread(problem),
        }
    }

    /// Adds text that is no file, for tests.
    #[cfg(test)]
    pub(super) fn add_text(&mut self, path: &str, text: &str) -> FileId {
        self.files.push(Source {
            path: path.into(),
            text: text.to_owned(),
        });
        FileId(self.files.len() - 1)
    }
}

/// Whether a file of a directory is part of the configuration.
fn is_document(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    let case = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    yaml && !case && !name.starts_with('.') && path.is_file()
}

fn cannot_read(path: &Path, error: &io::Error) -> Diagnostic {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "this may not be read: permission denied".to_owned(),
        _ => format!("this cannot be read: {error}"),
    };
    Diagnostic::file(path, what)
}

fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let bytes = read_bounded(path).map_err(|error| match error {
        TooLarge::Io(error) => cannot_read(path, &error),
        TooLarge::Size => Diagnostic::file(
            path,
            format!(
                "this file is larger than {} KiB, the most that is read",
                LARGEST >> 10
            ),
        )
        .hint("split it into several files of one directory"),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let byte = error.as_bytes().get(good).copied().unwrap_or_default();
        Diagnostic::file(
            path,
            format!("line {line} is not UTF-8 text: it holds the byte 0x{byte:02x}"),
        )
        .hint("save the file in the encoding UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Why a file was not read whole.
pub(super) enum TooLarge {
    /// It cannot be read.
    Io(io::Error),
    /// It is larger than [`LARGEST`].
    Size,
}

/// Reads a file that may not be larger than [`LARGEST`].
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, TooLarge> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(TooLarge::Io)?;
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(TooLarge::Io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(TooLarge::Size);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
