//! Where configuration text comes from: files, and directories of them.
//!
//! Everything here ends in text that is safe to parse: of bounded size, and UTF-8. What it means is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::diagnostics::{Diagnostic, Diagnostics};
use super::source::{Origin, Sources};

/// The largest file that is read, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// Reads the file at `path`, or the YAML files of the directory at `path`. A file is read once, however often it is named.
pub(super) fn add(sources: &mut Sources, path: &Path, diagnostics: &mut Diagnostics) {
    match fs::metadata(path) {
        Err(error) => diagnostics.push_unread(cannot_read(path, &error)),
        Ok(metadata) if metadata.is_dir() => add_directory(sources, path, diagnostics),
        Ok(_) => add_file(sources, path, diagnostics),
    }
}

fn add_directory(sources: &mut Sources, directory: &Path, diagnostics: &mut Diagnostics) {
    sources.note_directory(directory);
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
        add_file(sources, &file, diagnostics);
    }
}

fn add_file(sources: &mut Sources, path: &Path, diagnostics: &mut Diagnostics) {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !sources.is_new(real) {
        return;
    }
    let text = match sources.instead_of(path) {
        Some(None) => return,
        Some(Some(text)) => Ok(text.clone()),
        None => read_text(path),
    };
    match text {
        Ok(text) => {
            sources.push(path, text);
        }
        Err(problem) => diagnostics.push_unread(problem),
    }
}

/// Adds documents that were fetched by name, but those that a file has the name of: what stands on the machine itself
/// comes first.
pub(super) fn add_fetched(
    sources: &mut Sources,
    fetched: &BTreeMap<String, String>,
    folder: &Path,
    diagnostics: &mut Diagnostics,
) {
    let names: BTreeSet<_> = sources
        .iter()
        .filter_map(|source| source.path.file_name())
        .map(OsStr::to_owned)
        .collect();
    for (name, text) in fetched {
        let path = Origin::fetched_path(name);
        if names.contains(OsStr::new(name)) || !sources.is_new(path.clone()) {
            continue;
        }
        let text = match sources.instead_of(&path) {
            Some(None) => continue,
            Some(Some(text)) => text.clone(),
            None => text.clone(),
        };
        if text.len() as u64 > LARGEST {
            diagnostics.push_unread(too_large(&path));
            continue;
        }
        sources.push_from(path, folder.to_owned(), text);
    }
}

/// Adds texts that stand in place of documents which are not there any more, or cannot be read.
pub(super) fn add_missing(sources: &mut Sources) {
    let found: BTreeSet<_> = sources.iter().map(|source| source.path.clone()).collect();
    let names: BTreeSet<_> = found.iter().filter_map(|path| path.file_name()).collect();
    let hidden = |path: &Path| {
        let fetched = path.to_str().and_then(|path| path.strip_prefix("etcd:"));
        fetched.is_some_and(|name| names.contains(OsStr::new(name)))
    };
    let instead = sources.all_instead().iter();
    let missing = instead.filter(|(path, _)| !found.contains(*path) && !hidden(path));
    let missing: Vec<_> = missing
        .filter_map(|(path, text)| Some((path.clone(), text.clone()?)))
        .collect();
    for (path, text) in missing {
        sources.push(path, text);
    }
}

/// Whether a file of a directory is part of the configuration.
fn is_document(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    let case = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    // A link that leads nowhere is a mistake, not a document that was removed.
    let is_broken_link = || path.is_symlink() && fs::metadata(path).is_err();
    yaml && !case && !name.starts_with('.') && (path.is_file() || is_broken_link())
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
        TooLarge::Size => too_large(path),
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

fn too_large(path: &Path) -> Diagnostic {
    let what = format!(
        "this file is larger than {} KiB, the most that is read",
        LARGEST >> 10
    );
    Diagnostic::file(path, what).hint("split it into several files of one directory")
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
