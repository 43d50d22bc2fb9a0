//! Whether files and directories have changed.
//!
//! The folders of files are watched, not the files: editors and Kubernetes put a new file in the place of an old one.
//! An event is only a hint to look: what counts is what the files hold.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::config::standing::Watched;

/// What files and directories hold, as one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    pub(super) fn of(watched: &Watched) -> Self {
        let mut hasher = DefaultHasher::new();
        for directory in &watched.directories {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let files: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
            for file in &files {
                hold(file, &mut hasher);
            }
        }
        for file in &watched.files {
            hold(file, &mut hasher);
        }
        Self(hasher.finish())
    }
}

fn hold(file: &Path, hasher: &mut DefaultHasher) {
    file.hash(hasher);
    if file.is_file() {
        fs::read(file).ok().hash(hasher);
    }
}

/// Watches the folders of files.
pub(super) struct Watcher {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    folders: BTreeSet<PathBuf>,
}

impl Watcher {
    /// How long nothing may happen before it is looked at what has: files are written in several steps.
    const QUIET: Duration = Duration::from_millis(100);
    /// How long it may go on happening.
    const LONGEST: Duration = Duration::from_secs(1);
    /// How often it is looked where nothing can be watched.
    const POLL: Duration = Duration::from_secs(2);

    pub(super) fn new() -> Self {
        // One hint waits at the most: it says to look at everything.
        let (hint, events) = mpsc::channel(1);
        let heard = move |event: notify::Result<Event>| {
            let is_read = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
            if !is_read {
                let _ = hint.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(heard);
        let failed = |error: &notify::Error| {
            tracing::warn!(%error, "files cannot be watched: they are looked at every 2 s");
        };
        Self {
            watcher: watcher.inspect_err(failed).ok(),
            events,
            folders: BTreeSet::new(),
        }
    }

    /// Watches what matters from now on.
    pub(super) fn watch(&mut self, watched: &Watched) {
        let folders = folders(watched);
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.folders.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        let mut known = BTreeSet::new();
        for folder in folders {
            // One that is not there is found by the next look.
            if self.folders.contains(&folder)
                || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                known.insert(folder);
            }
        }
        self.folders = known;
    }

    /// Ends a little after something has happened, or when it is time to look anyway.
    pub(super) async fn changed(&mut self, at_the_latest: Duration) {
        let patience = if self.watcher.is_some() {
            at_the_latest
        } else {
            Self::POLL
        };
        match timeout(patience, self.events.recv()).await {
            Ok(Some(())) => {}
            Ok(None) => return sleep_until(Instant::now() + Self::POLL).await,
            Err(_) => return,
        }
        let end = Instant::now() + Self::LONGEST;
        loop {
            let quiet = (Instant::now() + Self::QUIET).min(end);
            if timeout_at(quiet, self.events.recv()).await.is_err() {
                return;
            }
        }
    }
}

/// The folders in which something may change: of files, of what links lead to, and directories of documents.
fn folders(watched: &Watched) -> BTreeSet<PathBuf> {
    let mut folders = watched.directories.clone();
    for file in &watched.files {
        let real = fs::canonicalize(file).ok();
        for path in [Some(file.as_path()), real.as_deref()]
            .into_iter()
            .flatten()
        {
            let folder = path.parent().unwrap_or(Path::new(""));
            folders.insert(match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder.to_owned(),
            });
        }
    }
    folders
}
