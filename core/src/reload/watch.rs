//! Whether files and directories have changed.
//!
//! The folders of files are watched, not the files: editors and Kubernetes put a new file in the place of an old one.
//! An event is only a hint to look: what counts is what the files hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::config::standing::Watched;

/// Larger files are told apart by size and time: they are no configuration.
const MOST_HELD: u64 = 16 << 20;

/// Which folder it is, whatever its name: one may take the place of another.
type Identity = (u64, u64);

fn identity(folder: &Path) -> Option<Identity> {
    let metadata = fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// What files and directories hold, as one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// What they hold now.
    pub fn of(watched: &Watched) -> Self {
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
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_file() && metadata.len() > MOST_HELD => {
            (metadata.len(), metadata.modified().ok()).hash(hasher);
        }
        Ok(metadata) if metadata.is_file() => fs::read(file).ok().hash(hasher),
        _ => {}
    }
}

/// Watches the folders of files.
pub struct Watcher {
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    folders: BTreeMap<PathBuf, Option<Identity>>,
}

impl Watcher {
    /// How long nothing may happen before it is looked at what has: files are written in several steps.
    const QUIET: Duration = Duration::from_millis(100);
    /// How long it may go on happening.
    const LONGEST: Duration = Duration::from_secs(1);
    /// How often it is looked where nothing can be watched.
    const POLL: Duration = Duration::from_secs(2);

    /// Watches nothing yet.
    pub fn start() -> Self {
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
            folders: BTreeMap::new(),
        }
    }

    /// Watches what matters from now on.
    pub fn watch(&mut self, watched: &Watched) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let now: BTreeMap<_, _> = folders(watched)
            .into_iter()
            .map(|folder| {
                let identity = identity(&folder);
                (folder, identity)
            })
            .collect();
        for (gone, identity) in &self.folders {
            if now.get(gone) != Some(identity) {
                let _ = watcher.unwatch(gone);
            }
        }
        let mut known = BTreeMap::new();
        for (folder, identity) in now {
            // One that is not there is found by the next look.
            if self.folders.get(&folder) == Some(&identity)
                || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                known.insert(folder, identity);
            }
        }
        self.folders = known;
    }

    /// Ends a little after something has happened, or when it is time to look anyway.
    pub async fn changed(&mut self, at_the_latest: Duration) {
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
    // A directory may itself be a link that comes to lead to another.
    for file in watched.files.iter().chain(&watched.directories) {
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
