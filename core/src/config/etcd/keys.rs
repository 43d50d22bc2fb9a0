//! The names of keys below a prefix.

use crate::edges::etcd::{Bound, Range};

/// The most documents below a prefix, and what they may weigh together.
pub(super) const MOST_DOCUMENTS: usize = 5_000;
pub(super) const MOST_BYTES: usize = 256 << 20;
/// The longest name of a document, in bytes.
pub(super) const LONGEST_NAME: usize = 255;

/// Room for the documents and the head.
const BOUND: Bound = Bound {
    keys: MOST_DOCUMENTS + 1,
    bytes: MOST_BYTES,
};

/// The keys below a prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

/// What a key among documents and head is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Document(String),
    Head,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Self { prefix }
    }

    pub(super) fn below(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    pub(super) fn documents(&self) -> String {
        self.below("documents/")
    }

    pub(super) fn document(&self, name: &str) -> String {
        format!("{}{name}", self.documents())
    }

    pub(super) fn head(&self) -> String {
        self.below("head")
    }

    /// One range that holds the documents and the head, and so has them from one transaction in one piece.
    pub(super) fn followed(&self) -> Range {
        Range {
            from: self.documents(),
            to: format!("{}\0", self.head()),
            bound: BOUND,
        }
    }

    pub(super) fn history(&self) -> Range {
        Range::of(self.below("history/"), BOUND)
    }

    pub(super) fn generation(&self, generation: u64) -> String {
        self.below(&format!("history/{generation:08}"))
    }

    pub(super) fn blobs(&self) -> Range {
        // Of a history there are more blobs than documents.
        let keys = 100 * MOST_DOCUMENTS;
        Range::of(self.below("blobs/"), Bound { keys, ..BOUND })
    }

    pub(super) fn blob(&self, hash: &str) -> String {
        self.below(&format!("blobs/{hash}"))
    }

    pub(super) fn statuses(&self) -> Range {
        Range::of(self.below("status/"), BOUND)
    }

    pub(super) fn status(&self, node: &str) -> String {
        self.below(&format!("status/{node}"))
    }

    pub(super) fn pushing(&self) -> String {
        self.below("pushing")
    }

    /// What a key of the range [`followed`](Self::followed) is; others may stand between.
    pub(super) fn entry(&self, key: &str) -> Option<Entry> {
        if key == self.head() {
            return Some(Entry::Head);
        }
        let name = key.strip_prefix(&self.documents())?;
        (!name.is_empty()).then(|| Entry::Document(name.to_owned()))
    }
}

/// Whether a document can be called so.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.split('/').any(str::is_empty) {
        return Err("a name is not empty, and neither is a part of it between slashes");
    }
    if name.split('/').any(|part| part == "." || part == "..") {
        return Err("`.` and `..` are no parts of a name");
    }
    if name.len() > LONGEST_NAME {
        return Err("a name has at most 255 bytes");
    }
    if name.contains(char::is_control) {
        return Err("a name holds no control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_below_the_prefix_with_or_without_its_slash() {
        for prefix in ["/linkgate/prod", "/linkgate/prod/", "/linkgate/prod//"] {
            let keys = Keys::new(prefix);
            assert_eq!(
                keys.document("a/b.yaml"),
                "/linkgate/prod/documents/a/b.yaml"
            );
            assert_eq!(keys.generation(7), "/linkgate/prod/history/00000007");
            assert_eq!(keys.blobs().to, "/linkgate/prod/blobs0");
        }
    }

    #[test]
    fn the_range_that_is_followed_holds_documents_and_head_alone() {
        let keys = Keys::new("/p");
        let Range { from, to, .. } = keys.followed();
        let is_inside = |key: &str| *key >= *from && *key < *to;
        let inside = [keys.document("a"), keys.document("z/z"), keys.head()];
        assert!(inside.iter().all(|key| is_inside(key)));
        let outside = [
            keys.blob("ff"),
            keys.generation(1),
            keys.status("n"),
            keys.pushing(),
        ];
        assert!(!outside.iter().any(|key| is_inside(key)));

        assert_eq!(keys.entry("/p/head"), Some(Entry::Head));
        let document = Entry::Document("a/b.yaml".to_owned());
        assert_eq!(keys.entry("/p/documents/a/b.yaml"), Some(document));
        for other in ["/p/documents/", "/p/docx", "/p/hea"] {
            assert_eq!(keys.entry(other), None);
        }
    }

    #[test]
    fn names_that_could_not_be_files_are_refused() {
        for name in ["a.yaml", "businesses/chat.yaml", "ä.yaml"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for name in ["", "/a", "a/", "a//b", "../a", "a\n", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
