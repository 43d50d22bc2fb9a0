//! Businesses that refused documents speak of: their pushes and clients are to wait until somebody mends the document.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::source::{Known, Origin, Sources};
use super::tree::{Node, Tree};
use crate::pipeline::Refused;

/// What the documents at `paths` say now, whatever is wrong with it. Nothing is filled in: names hold no references.
pub(super) fn businesses<'a>(
    origin: &Origin,
    directories: &BTreeSet<PathBuf>,
    paths: impl Iterator<Item = &'a PathBuf>,
) -> Refused {
    let mut refused = Refused::default();
    let mut paths = paths.peekable();
    if paths.peek().is_none() {
        return refused;
    }
    let known = Known {
        directories: directories.clone(),
    };
    let origin = Origin {
        instead: Default::default(),
        known: Some(Arc::new(known)),
        ..origin.clone()
    };
    let mut sources = Sources::from_origin(&origin);
    let (documents, _) = super::documents(&mut sources, &origin, &mut Diagnostics::default());
    for path in paths {
        let of_path = |tree: &&Tree| sources.get(tree.span.file).path == *path;
        let mut is_read = false;
        for document in documents.iter().filter(of_path) {
            is_read = true;
            note(document, &mut refused);
        }
        refused.others |= !is_read;
    }
    refused
}

fn note(document: &Tree, refused: &mut Refused) {
    let Some(pipelines) = document.get("pipelines") else {
        return;
    };
    refused.others |= !matches!(pipelines.node, Node::List(_));
    for pipeline in pipelines.items() {
        match pipeline.get("biz_id").and_then(Tree::text) {
            Some(biz_id) => {
                refused.businesses.insert(biz_id.to_owned());
            }
            None => refused.others = true,
        }
    }
}
