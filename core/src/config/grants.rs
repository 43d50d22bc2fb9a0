//! What of a node documents may name that are not the node's own.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the node's own file lets documents from etcd name.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    /// The folder of files.
    pub(super) files_root: Option<PathBuf>,
    /// Environment variables.
    pub(super) variables: BTreeSet<String>,
}
