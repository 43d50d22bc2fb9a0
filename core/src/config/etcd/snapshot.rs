//! The documents and the head, as they were at one revision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::keys::{Entry, Keys};
use crate::edges::etcd::Mirror;

/// The largest document, in bytes, as for a file.
pub(super) const LARGEST: usize = 1 << 20;

/// What stood below a prefix at one revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The revision of etcd.
    pub revision: i64,
    /// By name.
    pub documents: BTreeMap<String, Document>,
    /// The last push; none before the first, or if it was removed.
    pub head: Option<VersionedHead>,
}

/// A document and the revision that wrote it last.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// Its text, byte for byte, or why it is none.
    pub content: Result<Arc<str>, Unreadable>,
    /// The revision that wrote it last.
    pub version: i64,
}

/// Why a document has no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not UTF-8.
    #[error(
        "line {line} is not UTF-8 text: it holds the byte 0x{byte:02x}; save it in the encoding UTF-8 and push it again"
    )]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
        /// The first that is wrong.
        byte: u8,
    },
    /// Larger than what is read.
    #[error(
        "this document has {bytes} bytes, and at most {} KiB are read; split it into several",
        LARGEST >> 10
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// The last push, and the revision that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionedHead {
    /// The push, or what is wrong with what stands there.
    pub head: Result<Head, String>,
    /// The revision that wrote it.
    pub version: i64,
}

/// A push, as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Counts pushes and roll-backs, from 1.
    pub generation: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who pushed.
    pub by: String,
    /// What for.
    pub note: String,
    /// The SHA-256 of each document, in hex.
    pub documents: BTreeMap<String, String>,
}

impl fmt::Debug for Document {
    /// Without the text: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &self.content {
            Ok(text) => format!("{} bytes", text.len()),
            Err(why) => why.to_string(),
        };
        write!(f, "Document({shown}, version {})", self.version)
    }
}

impl Document {
    #[cfg(test)]
    pub(super) fn new(bytes: &[u8], version: i64) -> Self {
        let content = read(bytes).map(Arc::from);
        Self { content, version }
    }

    /// The text, if it has one.
    pub fn text(&self) -> Option<&str> {
        self.content.as_deref().ok()
    }
}

fn read(bytes: &[u8]) -> Result<&str, Unreadable> {
    if bytes.len() > LARGEST {
        let bytes = bytes.len();
        return Err(Unreadable::TooLarge { bytes });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = error.valid_up_to();
        let lines = bytes[..good].iter().filter(|byte| **byte == b'\n').count();
        let byte = bytes.get(good).copied().unwrap_or_default();
        let line = lines + 1;
        Unreadable::NotUtf8 { line, byte }
    })
}

/// What a key says that is followed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Document(Result<Arc<str>, Unreadable>),
    Head(Result<Head, String>),
}

impl Keys {
    /// What this key says; `None` if it is neither a document nor the head.
    pub(super) fn read(&self, key: &str, bytes: &[u8]) -> Option<Said> {
        Some(match self.entry(key)? {
            Entry::Document(_) => Said::Document(read(bytes).map(Arc::from)),
            Entry::Head => {
                let head = serde_json::from_slice(bytes);
                Said::Head(head.map_err(|error| error.to_string()))
            }
        })
    }
}

impl Snapshot {
    /// What is known of these keys.
    pub(super) fn of(mirror: &Mirror<Said>, keys: &Keys) -> Self {
        let mut snapshot = Self {
            revision: mirror.revision(),
            ..Self::default()
        };
        for (key, said) in mirror.entries() {
            let version = said.version;
            match (keys.entry(key), &said.value) {
                (Some(Entry::Document(name)), Said::Document(content)) => {
                    let content = content.clone();
                    let document = Document { content, version };
                    snapshot.documents.insert(name, document);
                }
                (_, Said::Head(head)) => {
                    let head = head.clone();
                    snapshot.head = Some(VersionedHead { head, version });
                }
                _ => {}
            }
        }
        snapshot
    }

    /// The last push, if there was one and it can be read.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()?.head.as_ref().ok()
    }

    /// Whether texts and head are the same; the revisions that wrote them make no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        let head = |snapshot: &Self| snapshot.head.as_ref().map(|entry| entry.head.clone());
        self.documents.len() == other.documents.len()
            && self.documents.iter().zip(&other.documents).all(
                |((name, document), (other_name, other))| {
                    name == other_name && is_same(&document.content, &other.content)
                },
            )
            && head(self) == head(other)
    }

    /// Whether the documents are those of the last push: false while a push in several transactions is under way, after
    /// changes by hand, and before the first push.
    pub fn is_whole(&self) -> bool {
        self.head()
            .is_some_and(|head| head.documents == self.hashes())
    }

    /// The SHA-256 of each document that has a text.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        let texts = self.documents.iter();
        texts
            .filter_map(|(name, document)| Some((name.clone(), hash(document.text()?))))
            .collect()
    }

    /// The names of the documents whose versions differ.
    pub(super) fn changed_since(&self, other: &Self) -> Vec<String> {
        let version = |snapshot: &Self, name: &String| {
            let document = snapshot.documents.get(name);
            document.map_or(0, |document| document.version)
        };
        let mut names: Vec<&String> = self.documents.keys().collect();
        names.extend(other.documents.keys());
        names.sort();
        names.dedup();
        names.retain(|name| version(self, name) != version(other, name));
        names.into_iter().cloned().collect()
    }

    pub(super) fn head_version(&self) -> i64 {
        self.head.as_ref().map_or(0, |head| head.version)
    }
}

fn is_same(one: &Result<Arc<str>, Unreadable>, other: &Result<Arc<str>, Unreadable>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => Arc::ptr_eq(one, other) || one == other,
        (one, other) => one == other,
    }
}

/// The SHA-256 of a text, in hex.
pub(super) fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(revision: i64, documents: &[(&str, &str, i64)]) -> Snapshot {
        let documents = documents.iter();
        let documents = documents
            .map(|(name, text, version)| {
                ((*name).to_owned(), Document::new(text.as_bytes(), *version))
            })
            .collect();
        Snapshot {
            revision,
            documents,
            head: None,
        }
    }

    #[test]
    fn a_touch_is_no_change_but_a_text_and_a_name_are() {
        let before = snapshot(5, &[("a", "1", 3), ("b", "2", 4)]);
        assert!(before.is_same(&snapshot(9, &[("a", "1", 9), ("b", "2", 4)])));
        assert!(!before.is_same(&snapshot(9, &[("a", "x", 9), ("b", "2", 4)])));
        assert!(!before.is_same(&snapshot(9, &[("a", "1", 3), ("c", "2", 4)])));
        assert!(!before.is_same(&snapshot(9, &[("a", "1", 3)])));
    }

    #[test]
    fn what_changed_is_known_by_versions() {
        let before = snapshot(5, &[("a", "1", 3), ("b", "2", 4), ("c", "3", 5)]);
        let after = snapshot(9, &[("a", "1", 8), ("c", "3", 5), ("d", "4", 9)]);
        assert_eq!(after.changed_since(&before), ["a", "b", "d"]);
        assert_eq!(before.changed_since(&after), ["a", "b", "d"]);
    }

    #[test]
    fn documents_without_a_text_say_why_and_never_show() {
        let broken = Document::new(b"a\nb\xff", 1);
        let why = broken.content.clone().unwrap_err();
        assert_eq!(
            why,
            Unreadable::NotUtf8 {
                line: 2,
                byte: 0xff
            }
        );
        let large = Document::new(&vec![b'x'; LARGEST + 1], 1);
        let why = large.content.unwrap_err();
        assert_eq!(why, Unreadable::TooLarge { bytes: LARGEST + 1 });
        assert!(why.to_string().contains("1024 KiB"), "{why}");
        let secret = Document::new(b"password: hunter2", 1);
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_snapshot_is_whole_when_its_head_names_its_texts() {
        let mut whole = snapshot(5, &[("a", "1", 3)]);
        assert!(!whole.is_whole());
        let head = Head {
            generation: 1,
            at: 0,
            by: String::new(),
            note: String::new(),
            documents: whole.hashes(),
        };
        assert_eq!(head.documents["a"].len(), 64);
        whole.head = Some(VersionedHead {
            head: Ok(head),
            version: 3,
        });
        assert!(whole.is_whole());
        whole
            .documents
            .insert("b".to_owned(), Document::new(b"2", 6));
        assert!(!whole.is_whole());
    }
}
