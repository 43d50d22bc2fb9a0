//! What a document's references may be filled in from, by where the document comes from; and which values are names,
//! that no reference stands for.

use std::path::{Component, Path, PathBuf};

use super::super::diagnostics::Diagnostic;
use super::super::grants::Grants;
use super::super::source::Span;

/// What a document's references may be filled in from.
pub(in crate::config) enum Reach<'a> {
    /// All that the process can read: for a document of the node's own.
    Node,
    /// What the node grants: for a document from etcd.
    Granted(&'a Grants),
    /// Nothing is read: references stand for themselves.
    Nothing,
}

impl Grants {
    /// The file that `path` names at `span`, below the root.
    pub(in crate::config) fn file(&self, path: &Path, span: Span) -> Result<PathBuf, Diagnostic> {
        let Some(root) = &self.files_root else {
            return Err(Diagnostic::at(span, "documents from etcd may not name files").hint(
                "in the node's own file say below which folder: `config: { files_root: /etc/linkgate/files }`",
            ));
        };
        let full = root.join(path);
        let outside = || {
            let (path, root) = (path.display(), root.display());
            Diagnostic::at(span, format!("the file `{path}` is not below `{root}`")).hint(
                "documents from etcd may name files below `config.files_root` alone, and no `..`",
            )
        };
        let is_plain = |part: Component<'_>| !matches!(part, Component::ParentDir);
        if !full.starts_with(root) || !path.components().all(is_plain) {
            return Err(outside());
        }
        // What is not there leads nowhere.
        match (root.canonicalize(), full.canonicalize()) {
            (Ok(real_root), Ok(real)) if !real.starts_with(&real_root) => Err(outside()),
            _ => Ok(full),
        }
    }
}

/// Stands for any item of a list.
pub(super) const ITEM: &str = "[]";

/// Whether anything is to be filled in; `$$` stands for `$`.
pub(super) fn has_reference(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('$') {
        if tail.starts_with('{') {
            return true;
        }
        rest = tail.strip_prefix('$').unwrap_or(tail);
    }
    false
}

/// Whether the value at this place is a name. Names are shown in logs, metrics and answers, so none is a reference, but
/// who and where the node is in a document of its own.
pub(super) fn is_name_at(place: &[&str], is_own: bool) -> bool {
    match place {
        ["node", ..] => !is_own,
        ["listeners", _, "name"]
        | ["pipelines", _, "version" | "listeners", ..]
        | ["pipelines", _, "rollout", "version" | "labels", ..]
        | [
            "push",
            "sources",
            _,
            "kafka",
            "topic" | "group" | "park" | "dead_letter",
        ]
        | ["profiles", _, _, "id"]
        | [.., "biz_ids"]
        | [.., "biz_ids", _] => true,
        [.., "filters", _, "id"] => place[0] == "pipelines",
        [.., key] => matches!(
            *key,
            "biz_id" | "profile" | "use" | "backend" | "broker" | "store"
        ),
        [] => false,
    }
}
