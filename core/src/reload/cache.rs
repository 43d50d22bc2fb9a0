//! The last good version of each document, on disk: for a start at which one is wrong or cannot be had.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::standing::LastGood;

/// A directory of last good versions: a file for each document, named after its path.
pub(super) struct Cache(PathBuf);

impl Cache {
    const ENDING: &str = ".last-good";

    /// The cache in this directory, which need not be there.
    pub(super) fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// What was last good. What cannot be read is passed over: a cache is no reason not to start.
    pub(super) fn read(&self) -> LastGood {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let document = unescape(name.strip_suffix(Self::ENDING)?)?;
            Some((document, fs::read_to_string(entry.path()).ok()?))
        };
        entries.filter_map(read).collect()
    }

    /// Keeps these, and no others.
    pub(super) fn write(&self, good: &LastGood) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        let before = self.read();
        for (document, text) in good {
            if before.get(document) != Some(text) {
                self.put(document, text)?;
            }
        }
        for document in before.keys().filter(|known| !good.contains_key(*known)) {
            fs::remove_file(self.file(document))?;
        }
        Ok(())
    }

    /// Whole or not at all.
    fn put(&self, document: &Path, text: &str) -> io::Result<()> {
        let new = self.0.join(".new");
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, self.file(document))
    }

    fn file(&self, document: &Path) -> PathBuf {
        self.0.join(escape(document) + Self::ENDING)
    }
}

fn escape(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('%', "%25").replace('/', "%2F")
}

fn unescape(name: &str) -> Option<PathBuf> {
    let text = name.replace("%2F", "/").replace("%25", "%");
    (!text.is_empty()).then(|| PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("a/b"));
        assert!(cache.read().is_empty());
        let mut good = LastGood::from([
            ("/etc/linkgate/chat.yaml".into(), "one".to_owned()),
            ("conf.d/50%2F.yaml".into(), "two".to_owned()),
            ("etcd:chat.yaml".into(), "three".to_owned()),
        ]);
        cache.write(&good).unwrap();
        assert_eq!(cache.read(), good);
        good.remove(Path::new("etcd:chat.yaml"));
        good.insert("/etc/linkgate/chat.yaml".into(), "four".to_owned());
        cache.write(&good).unwrap();
        assert_eq!(cache.read(), good);
    }
}
